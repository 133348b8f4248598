import numpy as np
import pytest
import torch
from layouts import write_cityscapes, write_lost_and_found
from sklearn.metrics import confusion_matrix, roc_auc_score
from torch import nn

from ood_lib.data import open_dataset
from ood_lib.inference import predict
from ood_lib.metrics.evaluate import evaluate_anomalies, evaluate_segmentation
from ood_lib.scores import entropy


class FromColour(nn.Module):
    """Class 0 where red is bright, class 1 where green is, and so on: logits that a test can
    compute by itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, x):
        assert 0.9 < x.max() <= 1 and x.dtype == torch.float32
        return torch.einsum("ck,nkhw->nchw", self.weight, 5 * x)


def test_predictions_come_one_by_one_and_in_order(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, count=5), "train")
    model = FromColour().train()
    results = list(predict(model, dataset, batch_size=2, progress=False))
    assert [result.id for result in results] == dataset.ids
    for result, sample in zip(results, dataset, strict=True):
        logits = 5 * sample.image.float()[None] / 255
        assert result.sequence == sample.sequence
        assert torch.equal(result.target, sample.target) and result.target.dtype == torch.uint8
        assert torch.equal(result.prediction, logits[0].argmax(0).to(torch.uint8))
        torch.testing.assert_close(result.score, entropy(logits)[0])
        assert not result.score.requires_grad
    assert model.training


def test_prediction_reads_no_more_than_it_gives(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, count=5), "train")
    dataset.frames[4].image.unlink()
    results = predict(FromColour(), dataset, batch_size=2, progress=False)
    assert [next(results).id for _ in range(4)] == dataset.ids[:4]
    with pytest.raises(FileNotFoundError):
        next(results)


def test_network_runs_in_evaluation_mode_and_own_scores_are_used(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, count=1), "train")
    model = nn.Sequential(nn.Dropout(0.9), FromColour())
    (result,) = predict(model, dataset, score=lambda logits: -logits.amax(dim=1), progress=False)
    torch.testing.assert_close(result.score, -dataset[0].image.amax(dim=0).float() / 51)


def test_evaluate_anomalies_pools_pixels_and_groups_by_sequence(tmp_path):
    dataset = open_dataset("lost_and_found", write_lost_and_found(tmp_path, count=4), "test")
    metrics = evaluate_anomalies(FromColour(), dataset, progress=False)
    images = torch.stack([sample.image for sample in dataset])
    target = torch.stack([sample.target for sample in dataset]).numpy()
    score = entropy(5 * images.float() / 255).numpy()
    assert metrics.compute()["auroc"] == pytest.approx(
        roc_auc_score(target[target < 255], score[target < 255]), abs=1e-4
    )
    assert len({group for group, *_ in metrics._updates}) == 2
    only_two = evaluate_anomalies(
        FromColour(), dataset, score=lambda logits: -entropy(logits), progress=False
    )
    assert only_two.compute()["auroc"] == pytest.approx(1 - metrics.compute()["auroc"])


def test_several_scores_by_name_give_their_measures_by_name(tmp_path, monkeypatch):
    dataset = open_dataset("lost_and_found", write_lost_and_found(tmp_path, count=4), "test")
    scores = {"entropy": entropy, "green": lambda logits: logits[:, 1]}
    asked = []

    def predict_several(model, dataset, score, **options):
        asked.append(score)
        maps = {name: predict(model, dataset, score=own, **options) for name, own in score.items()}
        for results in zip(*maps.values(), strict=True):
            own = {name: result.score for name, result in zip(maps, results, strict=True)}
            yield results[0]._replace(score=own)

    monkeypatch.setattr("ood_lib.metrics.evaluate.predict", predict_several)
    found = evaluate_anomalies(FromColour(), dataset, score=scores, progress=False)
    assert asked == [scores] and list(found) == list(scores)
    monkeypatch.undo()
    for name, score in scores.items():
        alone = evaluate_anomalies(FromColour(), dataset, score=score, progress=False)
        assert found[name].compute() == alone.compute()
        assert found[name].interval() == alone.interval()


def test_evaluate_segmentation(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, count=3), "train")
    metrics = evaluate_segmentation(FromColour(), dataset, progress=False)
    result = metrics.compute()
    predicted = np.concatenate([sample.image.float().argmax(0).flatten() for sample in dataset])
    target = np.concatenate([sample.target.flatten() for sample in dataset])
    matrix = confusion_matrix(target[target < 255], predicted[target < 255], labels=range(19))
    iou = matrix.diagonal() / (matrix.sum(0) + matrix.sum(1) - matrix.diagonal())
    np.testing.assert_allclose(result["iou"], iou)
    assert result["miou"] == pytest.approx(iou.mean())
    assert metrics.interval()["miou"][0] < result["miou"]  # its scenes are sequences of their own
