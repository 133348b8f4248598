import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from ood_lib.meta import LogisticMetaClassifier, NeuralMetaClassifier, load_meta_classifier
from ood_lib.segments import metric_names

TINY = NeuralMetaClassifier(hidden=(6, 4), epochs=8, batch_size=16, learning_rate=1e-2)
CLASSIFIERS = [LogisticMetaClassifier(), TINY]
# Parameters as printed in Tables 4.4, 4.5 and 4.6 of the thesis.
ARCHITECTURES = {
    **{(75,) * layers: 76 + 5700 * layers for layers in range(7)},
    (15, 15, 15): 1636,
    (25, 25, 25): 3226,
    (35, 35, 35): 5216,
    (45, 45, 45): 7606,
    (55, 55, 55): 10396,
    (65, 65, 65): 13586,
    (75, 75, 75): 17176,
    (85, 85, 85): 21166,
    (95, 95, 95): 25556,
    (110, 110, 110): 32891,
    (130, 45, 30): 17186,
    (60, 140, 30): 17361,
    (40, 80, 135): 17391,
}


def segment_table(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table as of segments, whose metrics are correlated and of very different sizes, and its
    labels."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 75)) @ (0.2 * rng.normal(size=(75, 75)))
    false_positive = values[:, :4].sum(axis=1) + rng.normal(size=rows) > -0.8
    values = values * np.geomspace(1e-4, 1e4, 75) + np.linspace(-3e3, 3e3, 75)
    values[:, 30] = 0.1  # whose mean is not quite 0.1 in floating point
    table = pd.DataFrame(values, columns=metric_names())
    table.insert(0, "image", [f"ulm_{row:03}" for row in range(rows)])
    table.insert(1, "sequence", [f"street {row % 5}" for row in range(rows)])
    table.insert(2, "segment", 1)
    table["iou"] = np.where(false_positive, 0, 0.3)
    return table, false_positive


def scaled(table: pd.DataFrame, fitted_on: pd.DataFrame) -> np.ndarray:
    return (
        StandardScaler()
        .fit(fitted_on[metric_names()].to_numpy())
        .transform(table[metric_names()].to_numpy())
    )


def plain_network(
    classifier: NeuralMetaClassifier, standardised: np.ndarray, labels: np.ndarray
) -> nn.Module:
    """The same network, trained one batch after the other in plain PyTorch, with the global
    generator."""
    activation = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[classifier.activation]
    x, y = (
        torch.tensor(standardised, dtype=torch.float32),
        torch.tensor(labels, dtype=torch.float32),
    )
    with torch.random.fork_rng():
        torch.manual_seed(classifier.seed)
        sizes = [x.shape[1], *classifier.hidden]
        hidden = [
            part
            for i, o in zip(sizes[:-1], sizes[1:], strict=True)
            for part in (nn.Linear(i, o), activation())
        ]
        network = nn.Sequential(*hidden, nn.Linear(sizes[-1], 1))
        rate, decay = classifier.learning_rate, classifier.weight_decay
        optimizer = torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay)
        for _ in range(classifier.epochs):
            order = torch.randperm(len(x))
            for start in range(0, len(x), classifier.batch_size):
                rows = order[start : start + classifier.batch_size]
                loss = nn.BCEWithLogitsLoss()(network(x[rows])[:, 0], y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return network


@pytest.mark.parametrize(("hidden", "parameters"), ARCHITECTURES.items())
def test_architectures_have_the_parameters_of_the_thesis(hidden, parameters):
    classifier = NeuralMetaClassifier(hidden, epochs=1).fit(*segment_table(20))
    assert classifier.num_parameters == parameters
    assert [weight.shape[1] for weight, _ in classifier.layers_] == [*hidden, 1]


def test_logistic_regression_has_76_parameters_and_the_thesis_network_is_the_default():
    assert LogisticMetaClassifier().fit(*segment_table(40)).num_parameters == 76
    settings = {
        "epochs": 50,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "weight_decay": 5e-3,
        "seed": 0,
    }
    assert (
        NeuralMetaClassifier().get_params()
        == {"hidden": (75, 75, 75), "activation": "relu"} | settings
    )


@pytest.mark.parametrize(
    "classifier",
    [
        NeuralMetaClassifier(epochs=10),
        NeuralMetaClassifier((12, 7), "relu", 30, 32, 1e-2, 5e-3, seed=1),
        NeuralMetaClassifier((12, 7), "tanh", 30, 50, 1e-2, 5e-2, seed=2),
        NeuralMetaClassifier(
            (9,), "sigmoid", 30, 149, 1e-2, 0, seed=3
        ),  # the last batch has one row
        NeuralMetaClassifier(
            (), epochs=30, batch_size=200, learning_rate=1e-2
        ),  # more than there are
    ],
)
def test_network_is_that_of_a_plain_loop(classifier):
    (table, labels), (new, _) = segment_table(150), segment_table(40, seed=1)
    fitted = clone(classifier).fit(table, labels)
    logits = plain_network(classifier, scaled(table, table), labels)(
        torch.tensor(scaled(new, table)).float()
    )
    expected = expit(logits[:, 0].detach().double().numpy())
    assert expected.std() > 0.02
    np.testing.assert_allclose(fitted.predict_proba(new)[:, 1], expected, atol=1e-5)


def test_networks_of_a_stack_do_not_feel_each_other():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(20, 70, 11)).astype(np.float32)
    targets = inputs[:, :, 0] + rng.normal(size=(20, 70)) > 0
    classifier = NeuralMetaClassifier((13, 9), "relu", 20, 32, learning_rate=1e-2, seed=5)

    def trained(part: slice) -> np.ndarray:
        parameters = classifier.learn(inputs[part], targets[part])
        return classifier.probability(parameters, inputs[part])

    together = trained(slice(0, 20))
    assert together[:, 0].std() > 0.1
    np.testing.assert_allclose(trained(slice(17, 20)), together[17:], atol=1e-5)
    np.testing.assert_allclose(trained(slice(18, 19)), together[18:19], atol=1e-5)


def test_network_learns_where_gradients_are_switched_off():
    table, labels = segment_table(60)
    expected = clone(TINY).fit(table, labels).predict_proba(table)
    with torch.no_grad():
        np.testing.assert_array_equal(clone(TINY).fit(table, labels).predict_proba(table), expected)


def test_seed_decides_the_network_and_no_global_generator_is_touched():
    table, labels = segment_table(60)
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (
        clone(TINY).set_params(seed=seed).fit(table, labels).predict_proba(table)
        for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_logistic_regression_is_the_baselines():
    (table, labels), (new, _) = segment_table(300), segment_table(50, seed=1)
    baseline = LogisticRegression(solver="liblinear", tol=1e-10, max_iter=1000).fit(
        scaled(table, table), labels
    )
    fitted = LogisticMetaClassifier().fit(table, labels)
    np.testing.assert_allclose(fitted.coef_, baseline.coef_, atol=1e-5)
    np.testing.assert_allclose(fitted.intercept_, baseline.intercept_, atol=1e-5)
    expected = baseline.predict_proba(scaled(new, table))
    np.testing.assert_allclose(fitted.predict_proba(new), expected, atol=1e-5)


def test_logistic_regression_is_at_the_optimum_even_if_a_metric_tells_all():
    table, labels = segment_table(80)
    table["S"] = np.where(labels, 1, 2)
    fitted = LogisticMetaClassifier().fit(table, labels)
    z, p = scaled(table, table), fitted.predict_proba(table)[:, 1]
    slopes = np.append(z.T @ (p - labels) + fitted.coef_[0], (p - labels).sum() + fitted.intercept_)
    np.testing.assert_allclose(slopes, 0, atol=1e-6)


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=["logistic", "neural"])
class TestEveryClassifier:
    def test_probability_is_that_of_a_false_positive(self, classifier):
        table, labels = segment_table(200)
        fitted = clone(classifier).fit(table, table.iou == 0)
        probability = fitted.predict_proba(table)
        assert probability.shape == (200, 2) and probability.dtype == np.float64
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        assert probability[labels, 1].mean() > probability[~labels, 1].mean() + 0.1
        predicted = fitted.predict(table)
        assert predicted.dtype == bool
        np.testing.assert_array_equal(predicted, probability[:, 1] >= 0.5)
        assert fitted.classes_.tolist() == [False, True]
        assert fitted.score(table, labels) == (predicted == labels).mean() > 0.7

    @pytest.mark.parametrize(
        "kind", [list, np.int64, np.float32, torch.tensor, lambda y: pd.Series(y, index=y.cumsum())]
    )
    def test_labels_may_be_bool_or_0_and_1_of_any_kind(self, classifier, kind):
        table, labels = segment_table(40)
        expected = clone(classifier).fit(table, labels).predict_proba(table)
        np.testing.assert_array_equal(
            clone(classifier).fit(table, kind(labels)).predict_proba(table), expected
        )

    def test_columns_are_found_by_name(self, classifier):
        table, labels = segment_table(60)
        fitted = clone(classifier).fit(table, labels)
        assert fitted.feature_names_in_.tolist() == metric_names() and fitted.n_features_in_ == 75
        expected = fitted.predict_proba(table)
        shuffled = table[np.random.default_rng(0).permutation(table.columns)]
        more = shuffled.assign(remark="wet road", distance=np.nan, segment=np.inf).drop(
            columns=["iou", "image"]
        )
        for other in (shuffled, more, table[metric_names()], table.set_index("image")):
            np.testing.assert_array_equal(fitted.predict_proba(other), expected)

    def test_bookkeeping_is_no_metric(self, classifier):
        table, labels = segment_table(60)
        expected = clone(classifier).fit(table[metric_names()], labels).predict_proba(table)
        misleading = table.assign(iou=np.arange(60.0), segment=np.nan, sequence=None)
        np.testing.assert_array_equal(
            clone(classifier).fit(misleading, labels).predict_proba(table), expected
        )

    def test_arrays_have_no_names(self, classifier):
        table, labels = segment_table(60)
        values = table[metric_names()].to_numpy().copy()
        expected = clone(classifier).fit(table, labels).predict_proba(table)
        fitted = clone(classifier).fit(table, labels).fit(values, labels)
        assert not hasattr(fitted, "feature_names_in_")
        for given in (values, torch.from_numpy(values), table):
            np.testing.assert_array_equal(fitted.predict_proba(given), expected)
        with pytest.raises(
            ValueError, match="74 features, but .* is expecting 75"
        ):
            fitted.predict_proba(values[:, 1:])

    def test_a_metric_that_was_constant_says_nothing(self, classifier):
        table, labels = segment_table(60)
        constant = metric_names()[30]
        fitted = clone(classifier).fit(table, labels)
        expected = fitted.predict_proba(table)
        np.testing.assert_array_equal(
            fitted.predict_proba(table.assign(**{constant: 1e6})), expected
        )
        assert np.abs(fitted.predict_proba(table.assign(S=1e6)) - expected).max() > 1e-3

    def test_standardisation_is_that_of_the_rows_that_were_fitted(self, classifier):
        table, labels = segment_table(60)
        fitted = clone(classifier).fit(table, labels)
        scaler = StandardScaler().fit(table[metric_names()].to_numpy())
        varying = np.arange(75) != 30
        np.testing.assert_allclose(fitted.standardisation_.mean, scaler.mean_)
        np.testing.assert_allclose(fitted.standardisation_.scale[varying], scaler.scale_[varying])
        stretched = table.assign(**{name: 1000 * table[name] + 7 for name in metric_names()})
        again = clone(classifier).fit(stretched, labels).predict_proba(stretched)
        np.testing.assert_allclose(again, fitted.predict_proba(table), atol=1e-4)

    def test_no_rows_are_no_predictions(self, classifier):
        table, labels = segment_table(40)
        fitted = clone(classifier).fit(table, labels)
        assert fitted.predict_proba(table[:0]).shape == (0, 2) and fitted.predict(
            table[:0]
        ).shape == (0,)

    def test_scikit_learn_takes_it_for_its_own(self, classifier):
        table, labels = segment_table(60)
        metrics = table[metric_names()]
        expected = clone(classifier).fit(metrics, labels).predict_proba(metrics)
        pipeline = make_pipeline("passthrough", clone(classifier)).fit(metrics, labels)
        np.testing.assert_array_equal(pipeline.predict_proba(metrics), expected)
        search = GridSearchCV(clone(classifier), {}, scoring="roc_auc", cv=3).fit(metrics, labels)
        assert search.best_score_ > 0.6
        np.testing.assert_array_equal(search.predict_proba(metrics), expected)

    def test_nothing_works_before_fit(self, classifier, tmp_path):
        table, _ = segment_table(5)
        new = clone(classifier)
        for ask in (
            lambda: new.predict(table),
            lambda: new.num_parameters,
            lambda: new.save(tmp_path / "new"),
        ):
            with pytest.raises(NotFittedError, match="not fitted yet"):
                ask()
        assert list(tmp_path.iterdir()) == []

    def test_saved_and_loaded_it_predicts_the_same(self, classifier, tmp_path):
        (table, labels), (new, _) = segment_table(60), segment_table(30, seed=1)
        fitted = clone(classifier).fit(table, labels)
        for written in (fitted, load_again(fitted, tmp_path)):
            loaded = load_again(written, tmp_path)
            assert (
                type(loaded) is type(classifier) and loaded.get_params() == classifier.get_params()
            )
            assert loaded.num_parameters == fitted.num_parameters
            np.testing.assert_array_equal(loaded.predict_proba(new), fitted.predict_proba(new))
        with pytest.raises(
            ValueError, match="seen at fit time, yet now missing:\n- S\n- ndist18\n$"
        ):
            loaded.predict_proba(new.drop(columns=["S", "ndist18"]))
        assert [path.name for path in tmp_path.iterdir()] == ["meta.safetensors"]

    def test_file_says_what_it_holds(self, classifier, tmp_path):
        clone(classifier).fit(*segment_table(40)).save(tmp_path / "meta.safetensors")
        with safe_open(tmp_path / "meta.safetensors", "numpy") as file:
            about = json.loads(file.metadata()["meta_classifier"])
        assert about["kind"] == type(classifier).__name__ and about["columns"] == metric_names()
        assert about["parameters"].keys() == classifier.get_params().keys()
        assert about["versions"]["torch"] == torch.__version__.partition("+")[0]

    def test_one_fitted_on_an_array_is_saved_without_names(self, classifier, tmp_path):
        table, labels = segment_table(40)
        values = table[metric_names()].to_numpy()[:, :9]
        fitted = clone(classifier).fit(values, labels)
        loaded = load_again(fitted, tmp_path)
        assert not hasattr(loaded, "feature_names_in_")
        np.testing.assert_array_equal(loaded.predict_proba(values), fitted.predict_proba(values))

    def test_damaged_file_is_named(self, classifier, tmp_path):
        path = tmp_path / "meta.safetensors"
        clone(classifier).fit(*segment_table(40)).save(path)
        whole = path.read_bytes()
        for damage in (
            whole[:-7],
            whole[:100],
            b"",
            whole[:-30] + b"\x01" + whole[-29:],
            whole.replace(b"kind", b"KIND"),
        ):
            path.write_bytes(damage)
            with pytest.raises(
                ValueError, match=r"meta\.safetensors is damaged or holds no meta classifier"
            ):
                load_meta_classifier(path)
        path.write_bytes(whole)
        load_meta_classifier(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda t, y: (t.assign(E=np.where(t.index == 4, np.nan, t.E)), y),
                "metric E of row 4 is nan",
            ),
            (
                lambda t, y: (t.assign(cprob3=np.inf), y),
                "metric cprob3 of row 0 is inf; 40 of 3000 values",
            ),
            (lambda t, y: (t.astype({"D": str}), y), "column D holds (str|object), no numbers"),
            (lambda t, y: (t.astype({"D": complex}), y), "column D holds complex128, no numbers"),
            (lambda t, y: (t.rename(columns={"D": "E"}), y), "Columns occur twice: .*E"),
            (lambda t, y: (t.rename(columns={"D": 7}), y), "one is called 7"),
            (
                lambda t, y: (t[["image", "iou"]], y),
                r"Found array with 0 feature\(s\)",
            ),
            (lambda t, y: (t[:0], y[:0]), "All 0 segments"),
            (
                lambda t, y: (t, y[1:]),
                r"There are 40 rows of metrics, but labels of shape \(39,\)",
            ),
            (lambda t, y: (t, np.stack([y, ~y], 1)), r"labels of shape \(40, 2\)"),
            (lambda t, y: (t, t.iou), "label of row [0-9]+ is .*0.3.*; expected True or 1"),
            (
                lambda t, y: (t, pd.Series(y, dtype="boolean").mask(t.index == 3)),
                "label of row 3 is <NA>",
            ),
            (lambda t, y: (t, np.where(y, "FP", "TP")), "label of row 0 is .*; expected True or 1"),
            (
                lambda t, y: (t, np.ones(40)),
                "All 40 segments are false positives, and there is no other",
            ),
            (lambda t, y: (t, np.zeros(40, dtype=bool)), "All 40 segments are true positives"),
            (
                lambda t, y: (t.E.to_numpy(), y),
                "Expected 2D array, got 1D array",
            ),
            (
                lambda t, y: (t.to_numpy(), y),
                "could not convert string to float: 'ulm_000'",
            ),
            (
                lambda t, y: (np.where(np.arange(6) == 2, np.nan, np.ones((40, 6))), y),
                "metric 2 of row 0 is nan",
            ),
        ],
    )
    def test_bad_input_is_refused(self, classifier, change, message):
        with pytest.raises(ValueError, match=message):
            clone(classifier).fit(*change(*segment_table(40)))

    def test_bad_metrics_are_refused_when_predicting(self, classifier):
        table, labels = segment_table(40)
        fitted = clone(classifier).fit(table, labels)
        with pytest.raises(ValueError, match="metric V of row 39 is -inf"):
            fitted.predict_proba(table.assign(V=np.where(table.index == 39, -np.inf, 1)))
        with pytest.raises(ValueError, match="now missing:\n(- .+\n){5}- \\.\\.\\.\n$"):
            fitted.predict(table[metric_names()[:5]])


def load_again(fitted, folder):
    fitted.save(folder / "meta.safetensors")
    return load_meta_classifier(str(folder / "meta.safetensors"))


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("hidden", 75, r"hidden=75 must list neurons: \(75, 75, 75\)"),
        ("hidden", (75, 0), r"hidden\[1\]=0 must be a whole number, at least 1"),
        ("hidden", (7.5,), r"hidden\[0\]=7.5 must be a whole number"),
        ("epochs", 0, "epochs=0 must be a whole number, at least 1"),
        ("batch_size", 12.0, "batch_size=12.0 must be a whole number"),
        ("seed", None, "seed=None must be a whole number, at least 0"),
        ("learning_rate", 0, "learning_rate=0 must be a number above 0"),
        ("learning_rate", np.nan, "learning_rate=nan must be a number above 0"),
        ("weight_decay", -1e-3, "weight_decay=-0.001 must be a number"),
        ("activation", "gelu", "activation='gelu' must be one of .*relu"),
        ("learning_rate", 1e30, r"Training diverged: lower learning_rate=1e\+30"),
    ],
)
def test_bad_parameters_are_named_when_fitting(parameter, value, message):
    classifier = NeuralMetaClassifier(epochs=3).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=message):
        classifier.fit(*segment_table(40))


def test_hidden_layers_may_be_counted_by_numpy(tmp_path):
    table, labels = segment_table(40)
    expected = NeuralMetaClassifier((5, 4), epochs=2).fit(table, labels).predict_proba(table)
    for hidden in ([5, 4], np.array([5, 4]), (np.int64(5), np.int64(4))):
        fitted = NeuralMetaClassifier(hidden, epochs=np.int64(2)).fit(table, labels)
        np.testing.assert_array_equal(
            load_again(clone(fitted).fit(table, labels), tmp_path).predict_proba(table), expected
        )


def test_other_files_hold_no_classifier(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"missing\.safetensors"
    ):
        load_meta_classifier(tmp_path / "missing.safetensors")
    save_file({"weight": np.zeros(3)}, tmp_path / "network.safetensors")
    with pytest.raises(
        ValueError, match=r"network\.safetensors is damaged or holds no meta classifier"
    ):
        load_meta_classifier(tmp_path / "network.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Tree"},
        {"parameters": {"hidden": [6, 5]}},
        {"parameters": {"depth": 2}},
        {"columns": metric_names()[::-1]},
    ],
)
def test_file_that_contradicts_itself_is_refused(tmp_path, change):
    path = tmp_path / "meta.safetensors"
    clone(TINY).fit(*segment_table(40)).save(path)
    with safe_open(path, "numpy") as file:
        metadata, keys = file.metadata(), file.keys()
        arrays = {key: file.get_tensor(key) for key in keys}
    save_file(arrays, path, metadata)
    load_meta_classifier(path)
    about = json.loads(metadata["meta_classifier"])
    save_file(arrays, path, metadata | {"meta_classifier": json.dumps(about | change)})
    with pytest.raises(ValueError, match="damaged or holds no meta classifier"):
        load_meta_classifier(path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_agrees_with_cpu(monkeypatch):
    table, labels = segment_table(150)
    on_gpu = NeuralMetaClassifier(epochs=3).fit(table, labels).predict_proba(table)
    monkeypatch.setattr("ood_lib.meta.neural.compute_device", lambda: torch.device("cpu"))
    on_cpu = NeuralMetaClassifier(epochs=3).fit(table, labels).predict_proba(table)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4)


def test_numbers_of_numpy_are_numbers(tmp_path):
    table, labels = segment_table(60)
    of_numpy = {"hidden": np.array([6, 4]), "epochs": np.int64(8), "batch_size": np.int32(16)}
    fitted = clone(TINY).set_params(**of_numpy, seed=np.int64(3)).fit(table, labels)
    same = clone(TINY).set_params(seed=3).fit(table, labels)
    assert np.array_equal(fitted.predict_proba(table), same.predict_proba(table))
    fitted.save(tmp_path / "a.safetensors")
    assert load_meta_classifier(tmp_path / "a.safetensors").seed == 3
