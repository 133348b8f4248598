import numpy as np
import pytest
import torch

from ood_lib.meta import remove_false_positives

LABELS = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [3, 0, 4, 0]], dtype=np.int32)


@pytest.mark.parametrize(
    ("cutoff", "kept"),
    [(0.5, [1, 4]), (0.50001, [1, 2, 4]), (0.9, [1, 2, 4]), (1, [1, 2, 3, 4]), (0.1, []), (0, [])],
)
def test_segments_below_the_cutoff_stay(cutoff, kept):
    mask = remove_false_positives(LABELS, [0.1, 0.5, 0.99, 0.4999], cutoff)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, np.isin(LABELS, kept))


def test_half_is_the_cutoff_and_tensors_are_taken():
    mask = remove_false_positives(torch.from_numpy(LABELS), torch.tensor([0.1, 0.5, 0.99, 0.4999]))
    np.testing.assert_array_equal(mask, np.isin(LABELS, [1, 4]))


def test_without_segments_nothing_stays():
    assert not remove_false_positives(np.zeros((3, 4), dtype=np.int32), []).any()
    assert remove_false_positives(np.zeros((0, 4), dtype=np.int32), []).shape == (0, 4)


@pytest.mark.parametrize(
    ("labels", "probability", "cutoff", "message"),
    [
        (LABELS, [0.1, 0.2, 0.3], 0.5, r"go up to 4, but p\^FP, column 1 .* shape \(3,\)"),
        (LABELS, [0.1] * 5, 0.5, r"shape \(5,\)"),
        (
            LABELS,
            np.full((4, 2), 0.5),
            0.5,
            r"column 1 of predict_proba .* shape \(4, 2\)",
        ),
        (LABELS, [0.1, 1.2, 0.3, 0.4], 0.5, r"p\^FP must be from 0 to 1, not 1.2"),
        (LABELS, [0.1, 0.2, 0.3, np.nan], 0.5, r"p\^FP must be from 0 to 1, not nan"),
        (LABELS, [0.1] * 4, np.nan, "The cutoff and .* must be from 0 to 1, not nan"),
        (LABELS, [0.1] * 4, 50, "The cutoff and .* must be from 0 to 1, not 50"),
        (LABELS > 0, [0.1], 0.5, r"labels \(H, W\) of whole numbers from 0, not bool \(3, 4\)"),
        (LABELS - 1, [0.1] * 3, 0.5, "whole numbers from 0"),
        (LABELS[0], [0.1, 0.2], 0.5, r"not int32 \(4,\)"),
    ],
)
def test_what_does_not_fit_is_named(labels, probability, cutoff, message):
    with pytest.raises(ValueError, match=message):
        remove_false_positives(labels, probability, cutoff)
