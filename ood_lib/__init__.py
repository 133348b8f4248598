"""Anomaly segmentation of street scenes: data, network, scores, training and measures behind the
book's notebooks."""

__version__ = "0.1.0"
