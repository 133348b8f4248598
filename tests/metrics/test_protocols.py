"""Every protocol's row is what scikit-learn, or a direct call, says of the same pixels."""

import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from layouts import (
    anomaly,
    noise,
    save,
    write_fishyscapes,
    write_frame,
    write_lost_and_found,
    write_road_anomaly,
)
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc

from ood_lib.data import DATASETS, SegmentationDataset, open_dataset
from ood_lib.metrics import PixelMetrics, SegmentMetrics, protocols
from ood_lib.metrics.__main__ import main
from ood_lib.metrics.protocols import TEST_DATA, best_threshold, compare_protocols

LARGE = (120, 200)  # an anomaly of 2,000 pixels


def write_maps(folder: Path, dataset: SegmentationDataset) -> Path:
    """Scores in [0, 1) in which an anomaly stands out, differently in every frame, and the upper
    left corner too."""
    folder.mkdir(exist_ok=True)
    for i, (frame, sample) in enumerate(zip(dataset.frames, dataset, strict=True)):
        target, draws = sample.target.numpy(), np.random.default_rng(i)
        scores = 0.5 * draws.random(target.shape) + (0.3 + 0.02 * i) * (target == 1)
        scores[: len(scores) // 4, : len(scores) // 3] += 0.35
        np.save(folder / f"{frame.id}_score.npy", scores.clip(0, 1).round(4).astype(np.float32))
    return folder


def pooled(folder: Path, dataset: SegmentationDataset) -> tuple[np.ndarray, np.ndarray]:
    """Target 0 or 1 and score of all pixels that are not void, (n,) each."""
    targets = np.concatenate([sample.target.numpy().ravel() for sample in dataset])
    scores = np.concatenate([np.load(folder / f"{i}_score.npy").ravel() for i in dataset.ids])
    return targets[targets < 255], scores[targets < 255]


def by_sklearn(target: np.ndarray, score: np.ndarray) -> dict[str, float]:
    fpr, tpr, _ = sklearn_roc(target, score, drop_intermediate=False)
    auprc = average_precision_score(target, score)
    fpr95 = fpr[np.argmax(tpr >= 0.95)]
    return {"auroc": roc_auc_score(target, score), "auprc": auprc, "fpr95": fpr95}


def row(table: pd.DataFrame, name: str) -> dict[str, float]:
    """What a row has, without what it lacks."""
    return table.loc[name].dropna().to_dict()


def without(values: dict[str, float], *names: str) -> dict[str, float]:
    return {name: value for name, value in values.items() if name not in names}


@pytest.fixture
def animals(tmp_path) -> tuple[Path, SegmentationDataset]:
    """The maps of two frames, in one of which the anomaly is split in two."""
    root = write_road_anomaly(tmp_path / "dataset_AnomalyTrack", size=LARGE)
    target = anomaly(LARGE)
    target[:, 50:52] = 0
    save(root / "labels_masks" / "validation0001_labels_semantic.png", target)
    dataset = open_dataset("road_anomaly_21", root, "val")
    return write_maps(tmp_path / "maps", dataset), dataset


def test_pooled_rows_are_those_of_all_pixels(animals, tmp_path) -> None:
    folder, dataset = animals
    table, _ = compare_protocols(folder, "road_anomaly_21", tmp_path / dataset.folder, "val")
    target, score = pooled(folder, dataset)
    expected = by_sklearn(target, score) | {"frames": 2, "anomalous": target.mean()}
    assert row(table, "thesis") == pytest.approx(expected)
    assert row(table, "Fishyscapes") == pytest.approx(without(expected, "auroc"))
    official = without(row(table, "SegmentMeIfYouCan"), "siou", "ppv", "f1")
    assert official == pytest.approx(without(expected, "auroc"))
    binned = np.minimum((score.astype(float) * 100).astype(int), 99)
    fpr, tpr, _ = sklearn_roc(target, binned, drop_intermediate=False)
    nearest = {"fpr95": fpr[np.abs(tpr - 0.95).argmin()]}
    assert row(table, "thesis, 100 bins") == pytest.approx(
        expected | by_sklearn(target, binned) | nearest
    )


def test_components_are_those_at_the_best_f1_of_pixels(animals, tmp_path) -> None:
    folder, dataset = animals
    table, notes = compare_protocols(folder, "road_anomaly_21", tmp_path / dataset.folder, "val")
    precision, recall, thresholds = precision_recall_curve(*pooled(folder, dataset))
    f1 = (2 * precision * recall / (precision + recall))[:-1]
    segments = SegmentMetrics(thresholds[f1.argmax()], 500, 100)
    for sample in dataset:
        segments.update(np.load(folder / f"{sample.id}_score.npy"), sample.target)
    found = {name: table.loc["SegmentMeIfYouCan", name] for name in ("siou", "ppv", "f1")}
    assert found == pytest.approx(segments.compute()) and segments.counts()["segments"] > 0
    assert any(
        f"{segments.counts()['segments']} segments and 3 anomalies" in note
        and f"{thresholds[f1.argmax()]:.4g}" in note
        for note in notes
    )


def test_the_last_row_weighs_frames_alike(tmp_path) -> None:
    root = write_fishyscapes(tmp_path / "fishyscapes", count=4)
    save(root / "Static" / "labels" / "0001.png", np.zeros((24, 40)))  # without an anomaly
    tiny = np.zeros((24, 40))
    tiny[3:5, 3:6] = 1
    save(root / "Static" / "labels" / "0002.png", tiny)
    dataset = open_dataset("fishyscapes_static", root)
    folder = write_maps(tmp_path / "maps", dataset)
    table, notes = compare_protocols(folder, "fishyscapes_static", root)
    alone = []
    for sample in (dataset[0], dataset[2], dataset[3]):
        target, score = sample.target.numpy(), np.load(folder / f"{sample.id}_score.npy")
        alone.append(by_sklearn(target[target < 255], score[target < 255]))
    expected = pd.DataFrame(alone).mean().to_dict() | {"frames": 3}
    assert row(table, "mean of images") == pytest.approx(expected)
    assert table["frames"].to_list() == [4, 4, 4, 4, 3]
    assert abs(table.loc["thesis", "auprc"] - expected["auprc"]) > 0.01
    assert "version composed" in notes[-1]


def test_on_lost_and_found_protocols_have_other_positives_and_frames(tmp_path) -> None:
    root = write_lost_and_found(tmp_path / "lost_and_found", size=LARGE)
    ids = np.ones(LARGE)
    ids[40:80, 50:100] = 31  # need not be avoided
    ids[10:30, 150:190] = 17
    others = ("04_Maurener_Weg_8_000000_000010", "15_Rechbergstr_Deckenpfronn_000000_000010")
    for name in others:
        write_frame(root, "gtCoarse", "test", name, ids, noise(9, *LARGE))
    dataset = open_dataset("lost_and_found", root, "test")
    folder = write_maps(tmp_path / "maps", dataset)
    table, notes = compare_protocols(folder, "lost_and_found", root, "test")
    target, score = pooled(folder, dataset)
    expected = by_sklearn(target, score) | {"frames": 6, "anomalous": target.mean()}
    assert row(table, "thesis") == pytest.approx(expected)
    theirs = open_dataset("lost_and_found", root, "test", nonhazards="anomaly")
    theirs.frames = [frame for frame in theirs.frames if "Rechberg" not in frame.id]
    target, score = pooled(folder, theirs)
    expected = by_sklearn(target, score) | {"frames": 5, "anomalous": target.mean()}
    official = without(row(table, "SegmentMeIfYouCan"), "siou", "ppv", "f1")
    assert official == pytest.approx(without(expected, "auroc"))
    pixels = PixelMetrics()
    pixels.update(score, target)
    segments = SegmentMetrics(best_threshold(pixels), 50, 10)
    for sample in theirs:
        segments.update(np.load(folder / f"{sample.id}_score.npy"), sample.target)
    assert segments.counts()["anomalies"] == 6  # two of them in street 04
    found = {name: table.loc["SegmentMeIfYouCan", name] for name in ("siou", "ppv", "f1")}
    assert found == pytest.approx(segments.compute(), nan_ok=True)
    assert "street 15" in notes[-1]


def test_scores_beyond_0_and_1_have_no_bins(animals, tmp_path) -> None:
    folder, dataset = animals
    root = tmp_path / dataset.folder
    before, _ = compare_protocols(folder, "road_anomaly_21", root, "val")
    for path in folder.glob("*.npy"):
        np.save(path, 8 * np.load(path) - 3)  # exact in float32 but for what ties anyway
    after, notes = compare_protocols(folder, "road_anomaly_21", root, "val")
    assert row(after, "thesis, 100 bins") == pytest.approx(
        {"frames": 2, "anomalous": after.loc["thesis", "anomalous"]}
    )
    pd.testing.assert_frame_equal(
        before.drop("thesis, 100 bins"), after.drop("thesis, 100 bins"), rtol=1e-3
    )
    assert any("the row is empty where scores lie beyond" in note for note in notes)


def test_the_best_threshold_marks_pixels_best() -> None:
    draws = np.random.default_rng(0)
    target = (draws.random(5000) < 0.1).astype(np.uint8)
    score = (draws.normal(size=5000) + 1.5 * target).round(2).astype(np.float32)
    pixels = PixelMetrics()
    pixels.update(score, target)

    def f1(threshold: float) -> float:
        alarms = score >= threshold
        return 2 * (alarms & (target == 1)).sum() / (alarms.sum() + target.sum())

    assert f1(best_threshold(pixels)) == max(map(f1, np.unique(score)))


class Watched(np.ndarray):
    """An array that a set can hold weakly."""

    __hash__ = object.__hash__


def test_one_map_is_in_memory_at_a_time(animals, tmp_path, monkeypatch) -> None:
    folder, dataset = animals
    alive = weakref.WeakSet()

    def read(path: Path, frame, read=protocols.read_map) -> np.ndarray:
        assert len(alive) <= 1  # the one that is being replaced
        score = read(path, frame).view(Watched)
        alive.add(score)
        return score

    monkeypatch.setattr(protocols, "read_map", read)
    compare_protocols(folder, "road_anomaly_21", tmp_path / dataset.folder, "val")


def test_the_command_prints_one_table_and_the_sentences(animals, tmp_path, capsys) -> None:
    folder, dataset = animals
    options = ["--dataset", "road_anomaly_21", "--data-root", str(tmp_path)]
    assert main(["compare", str(folder), *options, "--split", "val"]) == 0
    said = capsys.readouterr().out
    table, notes = compare_protocols(folder, "road_anomaly_21", tmp_path / dataset.folder, "val")
    for name in table.index:
        line = next(line for line in said.splitlines() if line.startswith(f"{name} "))
        assert f"{table.loc[name, 'fpr95']:.4f}" in line and "nan" not in line.lower()
    assert all(" ".join(note.split()) in " ".join(said.split()) for note in notes)
    assert main(["compare", str(folder), *options]) == 1
    assert "has no split None" in capsys.readouterr().err


def test_hidden_labels_are_not_measured(tmp_path, capsys) -> None:
    root = write_road_anomaly(
        write_road_anomaly(tmp_path / "dataset_AnomalyTrack", size=LARGE), "test", size=LARGE
    )
    with pytest.raises(ValueError, match="labels are not public: take the split val, or export"):
        compare_protocols(tmp_path, "road_anomaly_21", root, "test")


def test_frames_without_anomalies_are_not_measured(tmp_path) -> None:
    root = write_fishyscapes(tmp_path / "fishyscapes", count=1)
    save(root / "Static" / "labels" / "0000.png", np.zeros((24, 40)))
    folder = write_maps(tmp_path / "maps", open_dataset("fishyscapes_static", root))
    with pytest.raises(ValueError, match="1 frames that a protocol counts show no anomaly"):
        compare_protocols(folder, "fishyscapes_static", root)


def test_every_data_set_with_anomalies_has_its_facts() -> None:
    assert set(TEST_DATA) == set(DATASETS) - {"cityscapes", "coco_proxy"}
    sizes = {name: (facts["segment"], facts["anomaly"]) for name, facts in TEST_DATA.items()}
    assert sizes["road_anomaly_21"] == (500, 100) and sizes["road_obstacle_21"] == (50, 10)
