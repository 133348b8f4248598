"""Pictures say with colours what the arrays hold."""

import numpy as np

from ood_lib import figures


def test_segments_are_marked_by_what_became_of_them():
    image = np.full((5, 6, 3), 200, dtype=np.uint8)
    kept, removed, target = (np.zeros((5, 6), dtype=np.uint8) for _ in range(3))
    kept[0, 0], removed[0, 2], target[3, 3], target[0, 5] = 1, 1, 1, 255
    marked = figures.mark_segments(image, kept, removed, target)
    red, green, blue = marked[0, 0].astype(int)
    assert red > green > blue  # orange
    assert marked[0, 2, 2] > marked[0, 2, 0]  # blue
    assert marked[0, 5].tolist() == [70, 70, 70]  # ignored
    assert marked[3, 3].tolist() == [200, 200, 200]  # inside the outline the image shows
    ring = marked[2:5, 2:5].reshape(-1, 3)[[0, 1, 2, 3, 5, 6, 7, 8]]
    assert (ring == [255, 60, 255]).all()
    assert (image == 200).all()


def test_without_target_and_removed_only_the_kept_are_marked():
    image = np.full((2, 2, 3), 100, dtype=np.uint8)
    marked = figures.mark_segments(image, np.eye(2, dtype=bool))
    assert (marked[0, 1] == 100).all() and (marked[0, 0] != 100).any()
