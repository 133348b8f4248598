"""Scores that ask more of a network than its logits, each against a slow reference or another
library's."""

import copy

import numpy as np
import pytest
import pytorch_ood.detector as theirs
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist, mahalanobis
from torch import nn
from torch.testing import assert_close

from ood_lib.data import Sample
from ood_lib.inference import predict
from ood_lib.kept import digest
from ood_lib.metrics.evaluate import evaluate_anomalies
from ood_lib.models import build_model
from ood_lib.models.logits import image_logits
from ood_lib.scores import (
    ODIN,
    Ensemble,
    LogitScore,
    Mahalanobis,
    MCDropout,
    NearestNeighbours,
    OutlierHead,
    RBFHead,
    Reconstruction,
    StandardisedMaxLogits,
    energy,
    entropy,
    max_softmax,
    mutual_information,
    predictive_entropy,
)
from ood_lib.scores.features import FeatureScore, classifying_layer
from ood_lib.scores.image_score import evaluation_mode

CLASSES = 4


class TinyNetwork(nn.Module):
    """Two convolutions; features at half resolution, 6 numbers a pixel."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.encode = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.drop = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(6, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.drop(self.encode(x).tanh()))


class Scenes(list):
    labelled = True


def make_scenes(count: int, seed: int = 0, strange: bool = False) -> Scenes:
    """Four stripes of a colour and a class each, with noise; strange ones are of target 254 and
    another colour."""
    draws = np.random.default_rng(seed)
    colors = np.array([[230, 40, 40], [40, 230, 40], [40, 40, 230], [200, 200, 200]])
    scenes = Scenes()
    for number in range(count):
        target = np.repeat(draws.permutation(CLASSES), 4)[None].repeat(16, axis=0)
        pixels = colors[target] * (0.1 if strange else 1) + draws.normal(0, 12, (16, 16, 3))
        image = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)).permute(2, 0, 1)
        target = np.full_like(target, 254) if strange else target
        scenes.append(
            Sample(
                image, torch.from_numpy(target.astype(np.uint8)), f"{seed}-{number}", f"s{number}"
            )
        )
    return scenes


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return TinyNetwork().eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


# ---- what all have in common ----


def fitted_scores(model: nn.Module) -> list:
    scenes, strange = make_scenes(6), make_scenes(3, 1, strange=True)
    quiet = {"progress": False}
    return [
        LogitScore(model, entropy),
        StandardisedMaxLogits(model).fit(scenes, **quiet),
        ODIN(model),
        Mahalanobis(model).fit(scenes, **quiet),
        NearestNeighbours(model, k=3).fit(scenes, size=50, **quiet),
        MCDropout(model, passes=2, layers=["classify"]),
        Ensemble([model, copy.deepcopy(model)]),
        RBFHead(model).fit(scenes, epochs=100, **quiet),
        OutlierHead(model).fit(scenes, strange, epochs=30, **quiet),
        Reconstruction(model).fit(scenes, epochs=1, batch_size=2, **quiet),
    ]


def test_every_score_is_predicted_alone_and_together_with_others(model):
    scenes = make_scenes(3, seed=5)
    pixels = torch.stack([scene.image for scene in scenes]) / 255
    methods = {type(method).__name__: method for method in fitted_scores(model)}
    together = list(predict(model, scenes, score=methods, batch_size=3, progress=False))
    for name, method in methods.items():
        expected = method.score(pixels)
        assert (
            expected.shape == (3, 16, 16)
            and expected.dtype == torch.float32
            and expected.isfinite().all()
        )
        alone = list(predict(model, scenes, score=method, batch_size=3, progress=False))
        assert_close(torch.stack([result.score for result in alone]), expected, msg=name)
        found = torch.stack([result.score[name] for result in together])
        assert torch.equal(found, torch.stack([result.score for result in alone])), name
        named = method.judge(pixels)[0].argmax(dim=1)
        assert torch.equal(torch.stack([result.prediction for result in alone]).long(), named)
    of_first = methods["LogitScore"].judge(pixels)[0].argmax(dim=1)
    assert torch.equal(torch.stack([result.prediction for result in together]).long(), of_first)


def test_settings_functions_and_weights_tell_scores_apart(model):
    fitted = Mahalanobis(model).fit(make_scenes(4), progress=False)
    assert {"means", "whitening"} <= set(fitted.state_dict())
    others = [
        Mahalanobis(model),
        Mahalanobis(model).fit(make_scenes(5), progress=False),
        ODIN(model),
        ODIN(model, 10),
        ODIN(TinyNetwork(), 10),
        MCDropout(model, layers=["classify"]),
        MCDropout(model, 3, layers=["classify"]),
        LogitScore(model, entropy),
        LogitScore(model, energy),
    ]
    digests = [digest(score) for score in (fitted, *others)]
    assert len(set(digests)) == len(digests)
    assert digest(Mahalanobis(model).fit(make_scenes(4), progress=False)) == digests[0]
    unused = NearestNeighbours(model, k=3).fit_features(torch.ones(5, 6))
    before = digest(unused)
    unused.score(torch.rand(1, 3, 16, 16))  # which finds the layer
    assert digest(unused) == before != digest(NearestNeighbours(model, k=3, layer="classify"))
    with pytest.raises(ValueError, match="has no name by which"):
        digest(LogitScore(model, lambda logits: -logits.amax(dim=1)))


class WithoutClass2(nn.Module):
    """Logits at the images' size, that of class 2 being -inf or, with ``left_out``, not there."""

    def __init__(self, network: nn.Module, left_out: bool) -> None:
        super().__init__()
        self.network, self.left_out = network, left_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = F.interpolate(self.network(x), x.shape[2:])
        kept = torch.tensor([0, 1, 3])
        if self.left_out:
            return logits[:, kept]
        return torch.full_like(logits, -torch.inf).index_copy(1, kept, logits[:, kept])


def test_a_class_that_is_switched_off_is_as_if_left_out(model, images):
    switched_off, left_out = WithoutClass2(model, False), WithoutClass2(model, True)
    scenes = make_scenes(4)
    for make in (
        lambda network: StandardisedMaxLogits(network).fit(scenes, progress=False),
        lambda network: ODIN(network, temperature=2, epsilon=0.01),
    ):
        assert_close(make(switched_off).score(images), make(left_out).score(images))
    # Only entropies know of the class: they are divided by the logarithm of 4, not of 3.
    torch.manual_seed(1)
    other, scale = TinyNetwork().eval(), np.log(3) / np.log(4)
    for measure in ("entropy", "mutual_information"):
        off, out = (
            Ensemble([WithoutClass2(model, kind), WithoutClass2(other, kind)], measure)
            for kind in (False, True)
        )
        assert_close(off.score(images), out.score(images) * scale)
        assert off.judge(images)[0].isfinite().all()


def test_one_forward_pass_serves_many(model, images):
    passes = []
    model.encode.register_forward_hook(lambda _, inputs, output: passes.append(len(inputs[0])))
    methods = {type(method).__name__: method for method in fitted_scores(model)}
    pixels = Scenes(Sample(image, image[0], "", "") for image in (255 * images).byte())
    passes.clear()
    several = ("ODIN", "MCDropout", "Ensemble")
    shared = {name: methods[name] for name in methods if name not in several}
    list(predict(model, pixels, score=shared, batch_size=2, progress=False))
    assert len(shared) == 7 and passes == [2]
    passes.clear()
    list(predict(model, pixels, score=methods, batch_size=2, progress=False))
    assert passes == [2] * 7  # and two each of ODIN, dropout, and the ensemble
    passes.clear()
    list(predict(model, pixels, score=methods["ODIN"], batch_size=2, progress=False))
    assert passes == [2, 2]


def test_several_layers_of_one_pass(model, images):
    near, far = drawn(200, 0)[0], torch.rand(200, 3, generator=torch.Generator().manual_seed(2))
    methods = {
        "features": NearestNeighbours(model, k=3).fit_features(near),
        "colours": NearestNeighbours(model, k=3, layer="encode").fit_features(far),
    }
    pixels = Scenes(Sample(image, image[0], "", "") for image in (255 * images).byte())
    results = predict(model, pixels, score=methods, progress=False)
    for result, sample in zip(results, pixels, strict=True):
        for name, method in methods.items():
            assert_close(result.score[name], method.score(sample.image[None] / 255)[0])


def test_a_layer_without_features_is_refused(images):
    flat = nn.Flatten(), nn.Unflatten(1, (4, 16, 16))
    network = nn.Sequential(nn.Conv2d(3, 4, 1), *flat, nn.Conv2d(4, 5, 1))
    with pytest.raises(ValueError, match="layer='2' is given no features"):
        Mahalanobis(network, layer="2").features(images)


def test_a_score_of_another_network_is_refused(model):
    with pytest.raises(ValueError, match="ODIN watches another network"):
        next(predict(TinyNetwork(), make_scenes(1), score=ODIN(model), progress=False))


class OutOfMemory(TinyNetwork):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[3] > 600:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(x)


def test_only_scores_of_logits_are_put_together_from_windows():
    network = OutOfMemory().eval()
    image = torch.randint(0, 255, (3, 256, 640), dtype=torch.uint8)
    pixels = Scenes([Sample(image, image[0], "", "")])
    fitted = StandardisedMaxLogits(network).fit(make_scenes(3), progress=False)
    for score in (entropy, fitted):
        assert next(predict(network, pixels, score=score, progress=False)).score.shape == (256, 640)
    refused = ODIN(network), Mahalanobis(network), Reconstruction(network)
    for score in (*refused, {"entropy": entropy, "ODIN": refused[0]}):
        with pytest.raises(ValueError, match="must see it whole: give smaller images"):
            next(predict(network, pixels, score=score, window=(256, 320), progress=False))
    with pytest.raises(ValueError, match="ODIN must see it whole: give smaller images"):
        next(predict(network, pixels, score=refused[0], progress=False))


def test_only_the_network_computes_in_half_precision(model, images):
    for method in fitted_scores(model):
        if isinstance(method, FeatureScore):
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                features = method.features(images)
                found = method.judge(images)[1]
            with torch.no_grad():
                of_pixel = method.of_features(features.permute(0, 2, 3, 1).flatten(0, 2)).view(
                    2, 1, 8, 8
                )
            expected = F.interpolate(of_pixel, (16, 16), mode="bilinear", align_corners=False)[:, 0]
            assert_close(found, expected, atol=1e-5, rtol=1e-5, msg=type(method).__name__)


@pytest.mark.parametrize("mode", [True, False])
def test_the_network_is_left_as_it_was(mode, model, images):
    before = copy.deepcopy(model.state_dict())
    for method in fitted_scores(model):
        model.train(mode)
        method.score(images)
        assert model.training == mode and model.drop.training == mode, type(method).__name__
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.classify._forward_pre_hooks and not model.classify._forward_hooks


@pytest.mark.parametrize(
    "method",
    [StandardisedMaxLogits, Mahalanobis, NearestNeighbours, RBFHead, OutlierHead, Reconstruction],
)
def test_a_score_that_learns_says_that_it_has_not(method, model, images):
    with pytest.raises(RuntimeError, match=f"{method.__name__} is yet to learn: call fit"):
        method(model).score(images)


def test_every_module_gets_its_own_mode_back(model):
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Dropout2d(), model)).train()
    network[0].eval()
    network[1][1].encode.eval()
    before = {name: part.training for name, part in network.named_modules()}
    results = predict(network, make_scenes(3), batch_size=1, progress=False)
    next(results)
    assert {name: part.training for name, part in network.named_modules()} == before
    list(results)
    for score in (ODIN(network), Mahalanobis(network).fit(make_scenes(3), progress=False)):
        score.score(torch.rand(1, 3, 16, 16))
        assert {name: part.training for name, part in network.named_modules()} == before
    with pytest.raises(ValueError), evaluation_mode(network):
        assert not any(part.training for part in network.modules())
        raise ValueError
    assert {name: part.training for name, part in network.named_modules()} == before


def test_scores_find_what_is_of_another_colour(model):
    """Pixels of a colour that no street has are stranger than the street's own, by whichever look
    at the features."""
    scenes, strange = make_scenes(4, seed=7), make_scenes(4, seed=8, strange=True)
    mixed = Scenes(
        Sample(s.image, torch.full((16, 16), label, dtype=torch.uint8), s.id, s.sequence)
        for label, of in ((0, scenes), (1, strange))
        for s in of
    )
    # ODIN and the others that read logits only have no reason to find it in a network of random
    # weights.
    found = {
        type(method).__name__: evaluate_anomalies(
            model, mixed, score=method, progress=False
        ).compute()["auroc"]
        for method in fitted_scores(model)
        if isinstance(method, FeatureScore)
    }
    assert found.keys() == {"Mahalanobis", "NearestNeighbours", "RBFHead", "OutlierHead"}
    assert min(found.values()) > 0.8, found


# ---- standardised max logits ----


def test_standardised_max_logits_by_a_loop(model):
    scenes = make_scenes(3)
    fitted = StandardisedMaxLogits(model).fit(scenes, progress=False)
    with torch.no_grad():
        logits = torch.cat([image_logits(model, scene.image[None] / 255) for scene in scenes])
    largest, named = logits.max(dim=1)
    for c in range(CLASSES):
        of = largest[named == c] if (named == c).any() else largest.flatten()
        assert fitted.means[c].item() == pytest.approx(of.mean().item(), abs=1e-5)
        assert fitted.deviations[c].item() == pytest.approx(of.std(correction=0).item(), abs=1e-5)
    expected = -(largest - fitted.means[named]) / fitted.deviations[named]
    assert_close(fitted.of_logits(logits), expected)
    assert fitted.of_logits(logits).mean().item() == pytest.approx(0, abs=1e-4)


def test_standardised_max_logits_asks_to_be_fitted_and_for_the_same_classes(model):
    with pytest.raises(RuntimeError, match="call fit"):
        StandardisedMaxLogits(model).score(torch.zeros(1, 3, 2, 2))
    fitted = StandardisedMaxLogits(model).fit(make_scenes(1), progress=False)
    with pytest.raises(ValueError, match="fitted to 4 classes, but these logits have 5"):
        fitted.of_logits(torch.zeros(1, 5, 2, 2))
    with pytest.raises(ValueError, match="no image"):
        StandardisedMaxLogits(model).fit(Scenes(), progress=False)


# ---- ODIN ----


def test_odin_moves_the_image_as_pytorch_ood_does(model, images):
    """Theirs is about one class a picture: so it is asked about every pixel's own."""
    method = ODIN(model, temperature=5, epsilon=0.01)

    def per_pixel(logits, named):
        return F.cross_entropy(logits, named, reduction="sum")

    # Their gradient is of the loss of the named class at temperature T: the same sum over pixels.
    from pytorch_ood.detector.odin import odin_preprocessing

    upsampled = nn.Sequential(
        model, nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    )
    with torch.no_grad():
        named = upsampled(images).argmax(dim=1)
    moved = odin_preprocessing(
        upsampled, images.clone(), y=named, criterion=per_pixel, temperature=5, eps=0.01
    )
    assert_close(method.move(images)[1], moved.detach())
    expected = max_softmax(image_logits(model, moved) / 5)
    assert_close(method.score(images), expected.detach())


def test_odin_without_a_step_and_with_temperature_one_is_max_softmax(model, images):
    with torch.no_grad():
        expected = max_softmax(image_logits(model, images))
    assert_close(ODIN(model, temperature=1, epsilon=0).score(images), expected)
    step = ODIN(model, epsilon=0.02).move(images)[1] - images
    assert_close(step.abs(), torch.full_like(step, 0.02))


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"epsilon": -0.1}, {"epsilon": 1.4}])
def test_odin_refuses_settings_that_make_no_sense(wrong, model):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ODIN(model, **wrong)


# ---- features ----


def test_features_are_what_the_last_convolution_is_given(model, images):
    assert classifying_layer(model, images) == "classify"
    method = Mahalanobis(model)
    logits, features = image_logits(model, images), method.features(images)
    assert features.shape == (2, 6, 8, 8)
    assert_close(
        image_logits(nn.Identity(), model.classify(features)).shape, torch.Size((2, 4, 8, 8))
    )
    assert_close(F.interpolate(model.classify(features), (16, 16), mode="bilinear"), logits)


@pytest.mark.parametrize("name", ["deeplabv3plus_miniature", "torchvision:fcn_resnet50"])
def test_the_layer_is_found_in_networks_by_name(name):
    network = build_model(name, 5).eval()
    layer = network.get_submodule(classifying_layer(network, torch.rand(1, 3, 64, 64)))
    assert isinstance(layer, nn.Conv2d) and layer.out_channels == 5


def test_a_network_without_such_a_layer_is_told(images):
    with pytest.raises(ValueError, match="no convolution with 3 outputs.*layer="):
        Mahalanobis(nn.Identity()).features(images)


def test_drawn_pixels_have_their_own_features_and_no_class_is_forgotten(model):
    scenes = make_scenes(2)
    scenes[1].target[:, :8] = 255
    pixels = Mahalanobis(model).sample_pixels(scenes, each=5, seed=0, progress=False)
    drawn_features, classes = pixels
    with torch.no_grad():
        features = [Mahalanobis(model).features(scene.image[None] / 255)[0] for scene in scenes]
    targets = [scene.target[1::2, 1::2] for scene in scenes]
    assert torch.bincount(classes).tolist() == [
        sum(5 * bool((target == c).any()) for target in targets) for c in range(CLASSES)
    ]
    for feature, c in zip(*pixels, strict=True):
        near = [(f - feature[:, None, None]).abs().sum(0).argmin() for f in features]
        apart = [
            (f.flatten(1)[:, at] - feature).abs().sum()
            for f, at in zip(features, near, strict=True)
        ]
        image = int(apart[1] < apart[0])
        assert min(apart) < 1e-6 and targets[image].flatten()[near[image]] == c
    again = Mahalanobis(model).sample_pixels(scenes, each=5, seed=0, progress=False)
    assert torch.equal(again[0], drawn_features)
    with pytest.raises(ValueError, match="no labelled pixel"):
        Mahalanobis(model).sample_pixels(Scenes(), each=5, seed=0, progress=False)


def drawn(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of three classes with means apart and one covariance that is not round."""
    draws = torch.Generator().manual_seed(seed)
    classes = torch.randint(3, (count,), generator=draws)
    mixing = torch.randn(6, 6, generator=torch.Generator().manual_seed(99))
    means = 3 * torch.randn(3, 6, generator=torch.Generator().manual_seed(98))
    return means[classes] + torch.randn(count, 6, generator=draws) @ mixing, classes


def test_mahalanobis_is_that_of_scipy_and_of_pytorch_ood(model):
    features, classes = drawn(400, 0)
    strange, _ = drawn(50, 1)
    fitted = Mahalanobis(model).fit_features(features, classes)
    means = np.stack([features[classes == c].double().mean(0).numpy() for c in range(3)])
    apart = features.double().numpy() - means[classes]
    precision = np.linalg.inv(apart.T @ apart / len(apart))
    expected = [
        min(mahalanobis(f, mean, precision) ** 2 for mean in means)
        for f in strange.double().numpy()
    ]
    np.testing.assert_allclose(fitted.of_features(strange).numpy(), expected, rtol=1e-3)
    # Theirs is half of it, and its covariance is the sum over the pixels, not their mean.
    other = theirs.Mahalanobis(None).fit_features(features, classes).predict_features(strange)
    assert_close(fitted.of_features(strange), 2 * len(features) * other, rtol=1e-3, atol=1e-3)


def test_mahalanobis_stands_dead_channels_and_absent_classes(model):
    features, classes = drawn(200, 0)
    features[:, 2] = 0
    fitted = Mahalanobis(model).fit_features(features, classes * 7)
    assert len(fitted.means) == 3 and fitted.of_features(features).isfinite().all()
    assert fitted.of_features(features).mean().item() == pytest.approx(
        5, rel=0.25
    )  # so many dimensions vary


def test_nearest_neighbours_are_those_of_scipy_and_of_pytorch_ood(model):
    bank, strange = drawn(100, 0)[0], drawn(30, 1)[0]
    fitted = NearestNeighbours(model, k=4).fit_features(bank)
    apart = cdist(F.normalize(strange), F.normalize(bank))
    np.testing.assert_allclose(fitted.of_features(strange), np.sort(apart, axis=1)[:, 3], atol=1e-4)
    other = theirs.KNN(None, k=4).fit_features(bank, torch.zeros(100)).predict_features(strange)
    assert_close(fitted.of_features(strange), other.float(), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="no neighbour number 4 among 3"):
        NearestNeighbours(model, k=4).fit_features(bank[:3])
    with pytest.raises(
        ValueError, match=r"k=30, but the bank's 50 pixels hold \d+ of their commonest class"
    ):
        NearestNeighbours(model, k=30).fit(make_scenes(4), size=50, progress=False)


# ---- several answers ----


def test_entropy_and_mutual_information_of_known_answers():
    agree = torch.tensor([0.5, 0.5, 0.0]).view(1, 1, 3, 1, 1).repeat(2, 1, 1, 1, 1)
    differ = torch.eye(3)[:2].view(2, 1, 3, 1, 1)
    half = float(np.log(2) / np.log(3))
    assert (
        predictive_entropy(agree).item() == pytest.approx(half) == predictive_entropy(differ).item()
    )
    assert mutual_information(agree).item() == pytest.approx(0, abs=1e-6)
    assert mutual_information(differ).item() == pytest.approx(half)


def test_one_answer_is_the_entropy(model, images):
    probabilities = image_logits(model, images).softmax(dim=1)[None]
    assert_close(predictive_entropy(probabilities), entropy(probabilities[0].log()))
    assert mutual_information(probabilities).abs().max() < 1e-6


def test_an_ensemble_means_the_answers_of_its_members(model, images):
    torch.manual_seed(1)
    other = TinyNetwork().eval()
    answers = torch.stack(
        [image_logits(network, images).softmax(dim=1) for network in (model, other)]
    )
    assert_close(Ensemble([model, other]).score(images), predictive_entropy(answers).detach())
    method = Ensemble([model, other], measure="mutual_information")
    assert_close(method.score(images), mutual_information(answers).detach())
    assert_close(method.judge(images)[0].exp(), answers.mean(dim=0))
    with pytest.raises(ValueError, match="at least two networks, not 1"):
        Ensemble([model])
    with pytest.raises(ValueError, match="measure='variance'.*entropy, mutual_information"):
        Ensemble([model, other], measure="variance")


def test_dropout_drops_whole_channels_and_is_repeatable(images):
    network = TinyNetwork(dropout=0.5).eval()
    method = MCDropout(network, passes=6)
    state = torch.get_rng_state()
    answers = method.answers(images)
    assert torch.equal(torch.get_rng_state(), state) and not network.drop.training
    assert torch.equal(method.answers(images), answers)
    assert not torch.equal(MCDropout(network, passes=6, seed=1).answers(images), answers)
    # With its 6 channels kept or dropped, each answer is one of 2^6 that a loop over all masks
    # gives.
    with torch.no_grad():
        features = network.encode(images).tanh()[:1]
        masks = torch.cartesian_prod(*[torch.tensor([0.0, 2.0])] * 6)
        possible = torch.stack(
            [
                F.interpolate(
                    network.classify(features * m.view(1, 6, 1, 1)), (16, 16), mode="bilinear"
                )
                for m in masks
            ]
        )
        possible = possible.softmax(dim=2)[:, 0]
    for answer in answers[:, 0]:
        assert (possible - answer).abs().amax(dim=(1, 2, 3)).min() < 1e-5


def test_masks_can_be_put_where_a_network_has_none(model, images):
    with pytest.raises(ValueError, match="TinyNetwork has no dropout layer.*layers="):
        MCDropout(model)
    answers = MCDropout(model, passes=3, layers=["classify"], rate=0.5).answers(images)
    assert not torch.equal(answers[0], answers[1])
    for wrong in ({"passes": 0}, {"rate": 0.0}, {"rate": 1.0}):
        with pytest.raises(ValueError, match="passes=.* at least 1, and rate"):
            MCDropout(model, layers=["classify"], **wrong)


# ---- heads and reconstruction ----


def test_kernels_are_their_formula_and_learn_the_classes(model):
    features, classes = drawn(3000, 0)
    head = RBFHead(model, sigma=0.7).fit_features(features, classes, epochs=10)
    kernels = head.kernels(features[:5]).detach().numpy()
    standard = ((features[:5] - head.centre) / head.scale).numpy()
    for c, (weight, centre) in enumerate(
        zip(head.weight.detach().numpy(), head.centres.numpy(), strict=True)
    ):
        apart = ((standard @ weight.T - centre) ** 2).sum(axis=1)
        np.testing.assert_allclose(
            kernels[:, c], np.exp(-apart / (2 * len(centre) * 0.7**2)), rtol=1e-4
        )
    with torch.no_grad():
        assert (head.kernels(features).argmax(dim=1) == classes).float().mean() > 0.75
        assert (
            head.kernels(features).amax(dim=1).mean()
            > 2 * head.kernels(features + 40).amax(dim=1).mean()
        )


def test_training_a_head_is_repeatable_and_leaves_the_generator(model):
    features, classes = drawn(1200, 0)
    state = torch.get_rng_state()
    for learn in (
        lambda seed: RBFHead(model).fit_features(features, classes, seed=seed).centres,
        lambda seed: (
            OutlierHead(model).fit_features(features, features + 1, seed=seed).head[1].weight
        ),
    ):
        assert torch.equal(learn(0), learn(0)) and not torch.equal(learn(0), learn(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_numbers_of_numpy_are_numbers(model):
    three, scenes = np.int64(3), make_scenes(4)
    for learn in (
        lambda seed: RBFHead(model).fit(scenes, epochs=1, seed=seed, progress=False).centres,
        lambda seed: NearestNeighbours(model, k=seed).fit(scenes, seed=seed, progress=False).bank,
    ):
        assert torch.equal(learn(three), learn(3))
    Reconstruction(model, seed=three).fit(scenes, epochs=1, batch_size=np.int32(2), progress=False)
    features = drawn(1200, 0)[0]
    head = OutlierHead(model).fit_features(features, features + 1, seed=three).head
    same = OutlierHead(model).fit_features(features, features + 1, seed=3).head
    assert torch.equal(head[1].weight, same[1].weight)
    assert len(list(predict(model, scenes, batch_size=np.int64(2), progress=False))) == 4
    with pytest.raises(TypeError):
        next(predict(model, scenes, batch_size=2.5, progress=False))
    with pytest.raises(TypeError):
        RBFHead(model).fit(scenes, seed=2.5, progress=False)


def test_an_outlier_head_gives_probabilities_of_balanced_sides(model):
    known = drawn(3000, 0)[0]
    strange = known[:600] + torch.tensor([8.0, 0, 0, 0, 0, 0])
    head = OutlierHead(model).fit_features(known, strange, epochs=10).head
    with torch.no_grad():
        p_known, p_strange = (head(part).sigmoid().mean().item() for part in (known, strange))
    assert p_known + p_strange == pytest.approx(1, abs=0.1) and p_strange > 0.7


def test_a_proxy_without_objects_is_refused(model):
    with pytest.raises(ValueError, match="no out-of-distribution pixel.*coco_proxy"):
        OutlierHead(model).fit(make_scenes(2), make_scenes(2), progress=False)


def test_reconstruction_is_the_mean_difference_around_a_pixel(model, images):
    method = Reconstruction(model, window=3).fit(
        make_scenes(8), epochs=2, batch_size=4, progress=False
    )
    apart = (method.paint(images) - images).abs().mean(dim=1).detach()
    score = method.score(images)
    assert score[0, 5, 9].item() == pytest.approx(apart[0, 4:7, 8:11].mean().item(), rel=1e-4)
    assert score[1, 0, 0].item() == pytest.approx(apart[1, :2, :2].mean().item(), rel=1e-4)
    assert method.score(images[:, :, :13, :11]).shape == (2, 13, 11)
    with pytest.raises(ValueError, match="odd"):
        Reconstruction(model, window=4)


def test_an_autoencoder_paints_what_it_has_seen_better(model):
    scenes = make_scenes(16)
    method = Reconstruction(model).fit(scenes, epochs=40, batch_size=8, progress=False)
    seen, unseen = make_scenes(4, seed=3), make_scenes(4, seed=3, strange=True)
    errors = [
        method.score(torch.stack([s.image for s in of]) / 255).mean().item()
        for of in (seen, unseen)
    ]
    assert errors[0] < errors[1]


def test_an_autoencoder_does_not_pass_for_one_that_has_learnt(network, scenes):
    with pytest.raises(ValueError, match="learned from 5 epochs of 6 scenes in batches of 7"):
        Reconstruction(network).fit(scenes, batch_size=7, progress=False)
    with pytest.raises(ValueError, match="Nothing can be learned from 0 epochs of 6 scenes"):
        Reconstruction(network).fit(scenes, epochs=0, progress=False)


def test_a_head_does_not_pass_for_one_that_has_learnt(network):
    features, kinds = torch.randn(40, 8), torch.arange(40) % 2
    with pytest.raises(ValueError, match="epochs=0 trains nothing"):
        RBFHead(network).fit_features(features, kinds, epochs=0)
    with pytest.raises(ValueError, match="epochs=0 trains nothing"):
        OutlierHead(network).fit_features(features, features + 1, epochs=0)
