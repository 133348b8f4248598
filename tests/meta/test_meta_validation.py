import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from test_meta_classifiers import segment_table

from ood_lib.meta import (
    LogisticMetaClassifier,
    NeuralMetaClassifier,
    cross_validate,
    predict_left_out,
)
from ood_lib.segments import metric_names

NEURAL = NeuralMetaClassifier((9, 6), epochs=8, batch_size=16, learning_rate=1e-2)
LOGISTIC = LogisticMetaClassifier()
BOTH = pytest.mark.parametrize("classifier", [LOGISTIC, NEURAL], ids=["logistic", "neural"])


def one_by_one(
    classifier, table: pd.DataFrame, labels: np.ndarray, folds: list[np.ndarray]
) -> np.ndarray:
    """By a classifier that is fitted for each fold alone."""
    probability = np.full(len(table), np.nan)
    for fold in folds:
        others = np.delete(np.arange(len(table)), fold)
        fitted = clone(classifier).fit(table.iloc[others], labels[others])
        probability[fold] = fitted.predict_proba(table.iloc[fold])[:, 1]
    return probability


def uneven_streets(rows: int) -> np.ndarray:
    """Streets of very different length, one after the other and again."""
    return np.array(["a", "b", "b", "c", "c", "c", "c", "d", "d", "c"] * rows)[:rows]


@BOTH
def test_leave_one_out_is_that_of_fitting_each_fold_alone(classifier):
    table, labels = segment_table(45)  # 44 rows are two batches of 16 and one of 12
    probability = cross_validate(classifier, table, labels, progress=False)
    assert probability.shape == (45,) and probability.dtype == np.float64
    some = [0, 1, 7, 31, 32, 44]  # of two chunks
    expected = one_by_one(classifier, table, labels, [np.array([row]) for row in some])
    np.testing.assert_allclose(probability[some], expected[some], atol=1e-5)
    assert (
        np.abs(clone(classifier).fit(table, labels).predict_proba(table)[:, 1] - probability).max()
        > 0.01
    )


@BOTH
def test_k_fold_is_that_of_scikit_learn(classifier):
    table, labels = segment_table(83)
    splits = StratifiedKFold(4, shuffle=True, random_state=3)
    expected = cross_val_predict(classifier, table, labels, cv=splits, method="predict_proba")[:, 1]
    probability = cross_validate(
        classifier, table, labels, "k-fold", folds=4, seed=3, progress=False
    )
    np.testing.assert_allclose(probability, expected, atol=1e-5)
    other = cross_validate(classifier, table, labels, "k-fold", folds=4, seed=4, progress=False)
    assert np.abs(other - probability).max() > 0.01


def test_ten_folds_are_the_default():
    table, labels = segment_table(50)
    splits = StratifiedKFold(10, shuffle=True, random_state=0)
    expected = cross_val_predict(LOGISTIC, table, labels, cv=splits, method="predict_proba")[:, 1]
    np.testing.assert_allclose(
        cross_validate(LOGISTIC, table, labels, "k-fold", progress=False), expected, atol=1e-5
    )


@BOTH
@pytest.mark.parametrize(
    "kind", [list, np.array, lambda groups: pd.Series(groups, index=range(80, 0, -1))]
)
def test_groups_are_left_out_as_a_whole(classifier, kind):
    table, labels = segment_table(80)
    groups = uneven_streets(80)
    splits = LeaveOneGroupOut()
    expected = cross_val_predict(
        classifier, table, labels, groups=groups, cv=splits, method="predict_proba"
    )[:, 1]
    probability = cross_validate(classifier, table, labels, "group", kind(groups), progress=False)
    np.testing.assert_allclose(probability, expected, atol=1e-5)


def test_leave_one_out_of_logistic_regression_is_exact():
    table, labels = segment_table(70)
    values = table[metric_names()].to_numpy().copy()
    values[0, 40] += (
        1e3 * values[:, 40].std()
    )  # without row 0, the mean and scale are quite different
    table[metric_names()] = values
    baseline = make_pipeline(
        StandardScaler(), LogisticRegression(solver="liblinear", tol=1e-9, max_iter=1000)
    )
    probability = cross_validate(LOGISTIC, table, labels, progress=False)
    some = [np.array([row]) for row in (0, 1, 50, 69)]
    expected = one_by_one(baseline, table[metric_names()], labels, some)
    np.testing.assert_allclose(probability[[0, 1, 50, 69]], expected[[0, 1, 50, 69]], atol=1e-5)


@BOTH
@pytest.mark.parametrize("scheme", ["leave-one-out", "group"])
def test_own_label_decides_nothing(classifier, scheme):
    table, labels = segment_table(30)
    groups = uneven_streets(30) if scheme == "group" else None
    probability = cross_validate(classifier, table, labels, scheme, groups, progress=False)
    others = labels.copy()
    others[3] ^= True
    again = cross_validate(classifier, table, others, scheme, groups, progress=False)
    own = uneven_streets(30) == "c" if scheme == "group" else np.arange(30) == 3
    np.testing.assert_allclose(
        again[own], probability[own], rtol=0, atol=1e-7
    )  # where a fold starts from is forgotten
    assert np.abs(again - probability)[~own].min() > 1e-6


@BOTH
def test_other_rows_of_metrics_reach_a_fold_only_as_training(classifier):
    table, labels = segment_table(60)
    probability = predict_left_out(classifier, table, labels, [[3, 7]], progress=False)
    changed = table.assign(S=np.where(table.index == 7, 1e9, table.S))
    again = predict_left_out(classifier, changed, labels, [[3, 7]], progress=False)
    assert (
        again[3] == pytest.approx(probability[3], rel=0, abs=1e-7)
        and abs(again[7] - probability[7]) > 0.01
    )


@BOTH
def test_some_folds_are_as_in_all(classifier):
    table, labels = segment_table(40)
    everything = cross_validate(classifier, table, labels, progress=False)
    some = predict_left_out(classifier, table, labels, [[31], np.array([4])], progress=False)
    assert np.flatnonzero(~np.isnan(some)).tolist() == [4, 31]
    np.testing.assert_allclose(some[[4, 31]], everything[[4, 31]], atol=1e-5)
    assert np.isnan(predict_left_out(classifier, table, labels, [], progress=False)).all()


@BOTH
def test_classifier_stays_as_it_is(classifier):
    table, labels = segment_table(40)
    mine = clone(classifier)
    cross_validate(mine, table, labels, "k-fold", progress=False)
    assert vars(mine) == vars(clone(classifier))
    fitted = clone(classifier).fit(table, labels)
    before = fitted.predict_proba(table)
    folds = cross_validate(fitted, table, labels, "k-fold", progress=False)
    np.testing.assert_array_equal(fitted.predict_proba(table), before)
    np.testing.assert_array_equal(
        folds, cross_validate(mine, table, labels, "k-fold", progress=False)
    )


@pytest.mark.parametrize(
    "classifier",
    [
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=["forest", "pipeline"],
)
def test_any_classifier_of_scikit_learn_is_validated(classifier):
    table, labels = segment_table(60)
    groups = uneven_streets(60)
    metrics, splits = table[metric_names()], LeaveOneGroupOut()
    expected = cross_val_predict(
        classifier, metrics, labels, groups=groups, cv=splits, method="predict_proba"
    )[:, 1]
    for given in (table, metrics.to_numpy()):  # of the table, neither text nor iou reach it
        probability = cross_validate(classifier, given, labels, "group", groups, progress=False)
        np.testing.assert_allclose(probability, expected, rtol=0, atol=1e-9)


def test_p_of_a_false_positive_is_meant_whatever_the_order_of_classes():
    class Backwards(DummyClassifier):
        def predict_proba(self, metrics):
            return super().predict_proba(metrics)[:, ::-1]

        def fit(self, metrics, labels):
            super().fit(metrics, labels)
            self.classes_ = self.classes_[::-1]
            return self

    table, labels = segment_table(30)
    probability = predict_left_out(Backwards(), table, labels, [range(10)], progress=False)
    np.testing.assert_allclose(probability[:10], labels[10:].mean())


def test_a_bar_over_folds(capsys):
    table, labels = segment_table(30)
    cross_validate(LOGISTIC, table, labels, progress=False)
    assert capsys.readouterr().err == ""
    cross_validate(LOGISTIC, table, labels)
    assert "30/30" in capsys.readouterr().err


class TestCheckpoint:
    @BOTH
    def test_what_is_done_is_read(self, classifier, tmp_path, monkeypatch):
        table, labels = segment_table(30)
        expected = cross_validate(classifier, table, labels, checkpoint=tmp_path, progress=False)
        np.testing.assert_array_equal(
            expected, cross_validate(classifier, table, labels, progress=False)
        )
        monkeypatch.setattr(
            type(classifier), "learn", lambda *_: pytest.fail("it was trained again")
        )
        again = cross_validate(
            clone(classifier), table.copy(), labels.copy(), checkpoint=str(tmp_path), progress=False
        )
        np.testing.assert_array_equal(again, expected)
        [path] = tmp_path.iterdir()
        assert path.suffix == ".parquet" and pq.read_schema(path).names == ["probability"]

    @BOTH
    def test_interrupted_it_goes_on(self, classifier, tmp_path, monkeypatch):
        table, labels = segment_table(40)
        groups = uneven_streets(40)
        expected = cross_validate(classifier, table, labels, "group", groups, progress=False)
        learn, trained = type(classifier).learn, []

        def learn_or_stop(self, inputs, targets):
            trained.append([len(table) - len(inputs[0]) for _ in inputs])
            if len(trained) == 2:
                raise KeyboardInterrupt
            return learn(self, inputs, targets)

        monkeypatch.setattr(type(classifier), "learn", learn_or_stop)
        with pytest.raises(KeyboardInterrupt):
            cross_validate(
                classifier, table, labels, "group", groups, checkpoint=tmp_path, progress=False
            )
        done = cross_validate(
            classifier, table, labels, "group", groups, checkpoint=tmp_path, progress=False
        )
        assert trained == [[4], [8, 8], [8, 8], [20]]
        np.testing.assert_array_equal(done, expected)
        assert len(list(tmp_path.iterdir())) == 1

    def test_file_is_named_by_all_that_decides(self, tmp_path, monkeypatch):
        table, labels = segment_table(30)
        groups, changed = np.arange(30) % 3, labels.copy()
        changed[7] ^= True

        def run(
            classifier=LOGISTIC,
            table=table,
            labels=labels,
            scheme="group",
            groups=groups,
            **options,
        ) -> int:
            cross_validate(
                classifier,
                table,
                labels,
                scheme,
                groups,
                checkpoint=tmp_path,
                progress=False,
                **options,
            )
            return len(list(tmp_path.iterdir()))

        assert (
            run()
            == run()
            == run(table=table.assign(iou=0.1, image="x"))
            == run(groups=groups + 5)
            == 1
        )
        assert run(table=table.assign(S=table.S + (table.index == 29) * 1e-9)) == 2
        assert run(table=table[table.columns[::-1]]) == 3
        assert run(table=table.rename(columns={"S": "size"})) == 4
        assert run(labels=changed) == 5
        assert run(groups=groups // 2) == 6
        assert run(scheme="k-fold", groups=None, folds=3) == 7
        assert run(scheme="k-fold", groups=None, folds=3, seed=1) == 8
        assert run(NEURAL) == 9
        assert (
            run(clone(NEURAL).set_params(seed=1))
            == run(NeuralMetaClassifier(**NEURAL.get_params() | {"seed": 1}))
            == 10
        )
        assert run(RandomForestClassifier(2, random_state=0)) == 11
        assert run(RandomForestClassifier(2, random_state=1)) == 12
        assert run(table=table[metric_names()].to_numpy()) == 13
        monkeypatch.setattr("ood_lib.meta.validation.version", lambda name: "99")
        assert run() == 14

    def test_damaged_file_is_named_and_made_again(self, tmp_path):
        table, labels = segment_table(30)
        expected = cross_validate(
            LOGISTIC, table, labels, "k-fold", checkpoint=tmp_path, progress=False
        )
        [path] = tmp_path.iterdir()
        whole = path.read_bytes()
        out_of_range = pd.DataFrame({"probability": np.linspace(0, 1.5, 30)}).to_parquet()
        too_few = pd.DataFrame({"probability": np.linspace(0, 1, 29)}).to_parquet()
        other_column = pd.DataFrame({"p": np.linspace(0, 1, 30)}).to_parquet()
        flipped = whole[:60] + bytes([whole[60] ^ 255]) + whole[61:]
        for damage in (whole[:-9], b"", flipped, out_of_range, too_few, other_column):
            path.write_bytes(damage)
            with pytest.warns(
                UserWarning, match=rf"{path.name} is damaged \(.+\); it is made again"
            ):
                again = cross_validate(
                    LOGISTIC, table, labels, "k-fold", checkpoint=tmp_path, progress=False
                )
            np.testing.assert_array_equal(again, expected)
            assert path.read_bytes() == whole

    def test_what_cannot_be_kept_is_refused(self, tmp_path):
        table, labels = segment_table(30)
        with pytest.raises(ValueError, match="missing' is no folder; make it"):
            cross_validate(LOGISTIC, table, labels, checkpoint=tmp_path / "missing")
        nameless = make_pipeline(FunctionTransformer(lambda values: values), LogisticRegression())
        with pytest.raises(ValueError, match="has no name by which (a|its) result could be kept"):
            cross_validate(nameless, table, labels, "k-fold", checkpoint=tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "loo"}, "scheme='loo' is not known; take one of leave-one-out, group, k-fold"),
        (
            {"scheme": "group", "groups": None},
            "scheme='group': groups are for .*, and needed there",
        ),
        ({"groups": range(40)}, "scheme='leave-one-out': groups are for scheme=.group."),
        ({"scheme": "group", "groups": range(39)}, r"inconsistent numbers .* \[40, 40, 39\]"),
        (
            {"scheme": "group", "groups": ["ulm"] * 40},
            "fewer than 2 unique groups .* expects at least 2",
        ),
        ({"scheme": "group", "groups": [None, *range(39)]}, "The group of row 0 is missing"),
        ({"scheme": "k-fold", "folds": 60}, "n_splits=60"),
        (
            {"false_positive": np.arange(40) != 5},
            r"Without fold 5, rows \[5\], only one kind is left",
        ),
        (
            {
                "false_positive": np.arange(40) < 10,
                "scheme": "group",
                "groups": np.repeat(["ulm", "aalen"], [10, 30]),
            },
            r"Without fold 0, rows \[0 1 2 3 4 5 6 7 8 9\], only one kind",
        ),
        (
            {"false_positive": np.ones(39)},
            r"There are 40 rows of metrics, but labels of shape \(39,\)",
        ),
        ({"classifier": SVC()}, r"SVC gives no probabilities \(predict_proba\)"),
    ],
)
def test_what_cannot_be_validated_is_named(change, message):
    table, labels = segment_table(40)
    arguments = {
        "classifier": LOGISTIC,
        "metrics": table,
        "false_positive": labels,
        "progress": False,
    } | change
    with pytest.raises(ValueError, match=message):
        cross_validate(**arguments)


@pytest.mark.parametrize("classifier", [LOGISTIC, NEURAL, DummyClassifier()])
def test_bad_metrics_are_refused_for_every_classifier(classifier):
    table, labels = segment_table(40)
    with pytest.raises(ValueError, match="metric E of row 4 is nan"):
        cross_validate(
            classifier,
            table.assign(E=np.where(table.index == 4, np.nan, table.E)),
            labels,
            "k-fold",
        )
    with pytest.raises(ValueError, match="All 0 segments"):
        cross_validate(classifier, table[:0], labels[:0])


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([[0], []], r"Fold 1 is \[\]; expected rows from 0 to 39"),
        ([[0.5]], r"Fold 0 is \[0.5\]; expected rows"),
        ([3, 4], r"Fold 0 is 3; expected rows"),
        ([[0, 40]], r"Fold 0 is \[ 0 40\]; expected rows from 0 to 39"),
        ([[-1]], r"Fold 0 is \[-1\]"),
        ([[3, 4], [5, 3]], "Row 3 is left out twice"),
        ([[6, 6]], "Row 6 is left out twice"),
        ([range(40)], r"Without fold 0, rows \[ 0  1"),
    ],
)
def test_folds_that_make_no_sense_are_named(folds, message):
    with pytest.raises(ValueError, match=message):
        predict_left_out(LOGISTIC, *segment_table(40), folds, progress=False)
