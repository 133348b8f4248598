import math

import pytest
import pytorch_ood.detector as theirs
import torch
from torch.testing import assert_close

from ood_lib.scores import check_logits, energy, entropy, margin, max_logit, max_softmax

SCORES = [max_softmax, margin, entropy, max_logit, energy]
OFF = -math.inf


@pytest.fixture
def logits() -> torch.Tensor:
    return 4 * torch.randn(2, 19, 5, 6, generator=torch.Generator().manual_seed(0))


def test_scores_are_those_of_pytorch_ood(logits):
    assert_close(max_softmax(logits), 1 + theirs.MaxSoftmax.score(logits))
    assert_close(max_logit(logits), theirs.MaxLogit.score(logits))
    for temperature in (0.5, 1.0, 10.0):
        assert_close(energy(logits, temperature), theirs.EnergyBased.score(logits, t=temperature))
    # Theirs rounds probabilities below 1e-7 up to it, which adds up to 19 * 1.6e-6 nats.
    log_classes = torch.tensor(19.0).log()
    assert_close(entropy(logits) * log_classes, theirs.Entropy.score(logits), atol=3e-5, rtol=1e-5)


def test_margin_is_the_distance_of_the_two_best_classes(logits):
    best = logits.softmax(dim=1).sort(dim=1, descending=True).values
    assert_close(margin(logits), 1 - best[:, 0] + best[:, 1])
    tied = torch.tensor([3.0, 3.0, -9.0]).view(1, 3, 1, 1)
    assert margin(tied).item() == pytest.approx(1, abs=1e-5) and margin(tied).item() <= 1


def test_certain_pixels_are_still_told_apart():
    """1 - p would be 0 for both."""
    sure, surer = (
        max_softmax(torch.tensor([value, 0.0]).view(1, 2, 1, 1)).item() for value in (20.0, 30.0)
    )
    assert sure == pytest.approx(2.061e-9, rel=1e-3) and surer == pytest.approx(9.358e-14, rel=1e-3)


def test_only_max_logit_and_energy_see_a_constant_on_all_logits(logits):
    for score in (max_softmax, margin, entropy):
        assert_close(score(logits + 7), score(logits), atol=1e-5, rtol=1e-4)
    for score in (max_logit, energy):
        assert_close(score(logits + 7), score(logits) - 7, atol=1e-4, rtol=0)


def test_energy_lies_between_max_logit_and_log_c_below_it(logits):
    for temperature in (0.01, 1.0, 5.0):
        below = max_logit(logits) - energy(logits, temperature)
        assert below.min() >= -1e-5 and below.max() <= temperature * torch.tensor(19.0).log() + 1e-4
    assert_close(energy(logits, 0.01), max_logit(logits), atol=0.03, rtol=0)


@pytest.mark.parametrize("score", SCORES)
def test_a_uniform_pixel_is_stranger_than_a_certain_one(score):
    pixels = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]).T.reshape(1, 3, 1, 2)
    strange, known = score(pixels).flatten().tolist()
    assert strange > known


@pytest.mark.parametrize("score", SCORES)
def test_shape_type_and_half_precision(score, logits):
    half = logits.bfloat16()
    assert score(half).shape == (2, 5, 6) and score(half).dtype == torch.float32
    assert_close(score(half), score(half.float()), atol=0, rtol=0)
    double = score(logits.double() + 1e-9)
    assert double.dtype == torch.float64 and not torch.equal(double, double.float().double())
    assert_close(double.float(), score(logits))


@pytest.mark.parametrize("score", SCORES)
def test_what_is_no_logits_is_refused(score, logits):
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        score(logits[0])
    logits[1, 2, 3, 4] = float("nan")
    with pytest.raises(ValueError, match="1 of 1140 logits are NaN.*class 2, row 3, column 4"):
        score(logits)
    with pytest.raises(ValueError, match="at least two classes"):
        check_logits(torch.zeros(1, 1, 2, 2))


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), float("nan")])
def test_a_temperature_must_be_above_zero(temperature, logits):
    with pytest.raises(ValueError, match="temperature=.* must be a number above 0"):
        energy(logits, temperature)


def slow_scores(pixel: list[float]) -> list[float]:
    """`SCORES` of one pixel in float64, from the classes that are not switched off alone."""
    left = [value for value in pixel if value != -math.inf]
    largest = max(left)
    odds = [math.exp(value - largest) for value in left]
    p = sorted(odd / math.fsum(odds) for odd in odds)
    entropy_of_left = -math.fsum(value * math.log(value) for value in p if value > 0)
    return [
        math.fsum(p[:-1]),
        math.fsum(p[:-1]) + (p[-2] if len(p) > 1 else 0),
        entropy_of_left / math.log(len(pixel)),  # of all classes
        -largest,
        -largest - math.log(math.fsum(odds)),
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("where", ["some pixels", "all pixels", "all but one class"])
def test_a_class_that_is_switched_off_has_probability_0(where, dtype, logits):
    if where == "some pixels":
        logits[torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)) < 0.3] = OFF
    else:
        logits[:, 7 if where == "all pixels" else [c for c in range(19) if c != 7]] = OFF
    logits = logits.to(dtype)
    pixels = logits.double().permute(0, 2, 3, 1).reshape(-1, 19).tolist()
    expected = torch.tensor([slow_scores(pixel) for pixel in pixels], dtype=torch.float64)
    exact = dict.fromkeys(("atol", "rtol"), 1e-12 if dtype == torch.float64 else 1e-5)
    for score, values in zip(SCORES, expected.T, strict=True):
        found = score(logits)
        assert found.isfinite().all()
        assert_close(found.double().flatten(), values, **exact)


@pytest.mark.parametrize("score", SCORES)
def test_a_class_that_is_switched_off_has_no_gradient_and_spoils_no_other(score, logits):
    logits[:, 7], logits[1, 3, 0, 0] = OFF, OFF
    logits.requires_grad_()
    score(logits).sum().backward()
    assert logits.grad.isfinite().all() and (logits.grad[logits == OFF] == 0).all()
    if score is not entropy:  # which divides by the logarithm of all C
        rest = logits.detach()[:, [c for c in range(19) if c != 7]].requires_grad_()
        score(rest).sum().backward()
        assert_close(logits.grad[:, [c for c in range(19) if c != 7]], rest.grad)


@pytest.mark.parametrize("score", SCORES)
def test_a_pixel_to_which_no_class_is_left_is_refused(score, logits):
    logits[1, :, 3, 4] = OFF
    with pytest.raises(
        ValueError, match="19 of 1140.* first is -inf, for image 1 .*class 0, row 3"
    ):
        score(logits)
    logits[:, :, 3, 4] = 0
    logits[0, 5, 1, 2] = math.inf
    with pytest.raises(ValueError, match="1 of 1140.* first is inf, for image 0 .*class 5, row 1"):
        score(logits)
