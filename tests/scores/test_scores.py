import numpy as np
import pytest
import scipy.stats
import torch
from torch.testing import assert_close

from ood_lib.scores import entropy


def logits_of(*pixel: float) -> torch.Tensor:
    return torch.tensor(pixel).view(1, -1, 1, 1)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("classes", [2, 19])
def test_entropy_is_that_of_scipy(scale, classes):
    logits = scale * np.random.default_rng(0).normal(size=(2, classes, 5, 6))
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = scipy.stats.entropy(weights, axis=1, base=classes)
    for dtype, rtol in ((torch.float32, 1e-3), (torch.float64, 1e-9)):
        score = entropy(torch.tensor(logits, dtype=dtype))
        assert score.shape == (2, 5, 6) and score.dtype == dtype
        np.testing.assert_allclose(score, expected, rtol=rtol, atol=1e-6)


def test_ends_of_the_scale():
    assert entropy(torch.full((1, 19, 2, 2), 3.7)).unique().tolist() == pytest.approx(
        [1.0], abs=1e-6
    )
    assert entropy(torch.full((1, 19, 2, 2), 3.7)).max() <= 1
    assert entropy(logits_of(1e4, 0, 0)).item() == 0
    assert entropy(logits_of(0.0, -1e30, -1e30)).item() == 0


def test_exact_where_probabilities_underflow():
    half = np.log(2) / np.log(3)  # two equal classes of three
    for low in (-1e4, -1e30, -3e38):
        assert entropy(logits_of(5.0, 5.0, low)).item() == pytest.approx(half, rel=1e-6)
    assert entropy(logits_of(3e38, 3e38, -3e38)).item() == pytest.approx(half, rel=1e-6)


def test_adding_a_constant_to_all_logits_changes_nothing():
    logits = torch.randn(1, 19, 4, 4, generator=torch.Generator().manual_seed(0))
    assert_close(entropy(logits + 100), entropy(logits), atol=1e-4, rtol=0)


def test_half_precision_is_computed_in_single():
    logits = 5 * torch.randn(1, 19, 4, 4, generator=torch.Generator().manual_seed(0))
    assert_close(entropy(logits.bfloat16()), entropy(logits.bfloat16().float()), atol=0, rtol=0)


def test_gradients_exist():
    logits = torch.tensor([[30.0, 0.0, -200.0]]).view(1, 3, 1, 1).requires_grad_()
    entropy(logits).sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers(bad):
    logits = torch.zeros(2, 3, 4, 5)
    logits[1, 2, 3, 4] = bad
    with pytest.raises(
        ValueError,
        match=f"1 of 120 logits.*{bad}, for image 1 of the batch, class 2, row 3, column 4",
    ):
        entropy(logits)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 4, 5)])
def test_wrong_shapes(shape):
    with pytest.raises(ValueError, match=r"\(N, C, H, W\) with at least two classes"):
        entropy(torch.zeros(shape))
