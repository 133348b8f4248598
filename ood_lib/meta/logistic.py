"""Logistic regression, the baseline's meta classifier (Chan et al. 2021)."""

from copy import deepcopy

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from ood_lib.meta.classifier import FoldTrainer, MetaClassifier
from ood_lib.meta.inputs import Standardisation

TOLERANCE = 1e-10
"""Largest derivative of the mean loss at the optimum."""

_FOLDS_AT_ONCE = 64


class LogisticMetaClassifier(MetaClassifier):
    """p^FP = sigmoid(w z + b) of the standardised metrics z: m + 1 parameters, 76 for the thesis's 75 metrics.

    Minimises the sum over all segments of the cross-entropy plus (|w|^2 + b^2) / 2: scikit-learn's L2 penalty with
    C = 1 where the intercept b is penalised as well, which is what the baseline's solver "liblinear" does. The optimum
    is the only one, and is reached up to `TOLERANCE` instead of liblinear's first stop.

    ``coef_`` (1, m) and ``intercept_`` (1,) are w and b, as in scikit-learn; w is per standard deviation of a metric.
    """

    @property
    def coef_(self) -> np.ndarray:
        check_is_fitted(self)
        return self.model_.coef_[:, :-1]

    @property
    def intercept_(self) -> np.ndarray:
        check_is_fitted(self)
        return self.model_.coef_[:, -1]

    def fold_trainer(self, values: np.ndarray, labels: np.ndarray) -> FoldTrainer:
        """Every fold starts from the optimum for all rows, two or three of Newton's steps from its own."""
        whole = _fit_model(_new_model(), Standardisation.fit(values)(values), labels)

        def left_out(fold: np.ndarray) -> np.ndarray:
            rows = np.delete(np.arange(len(values)), fold)
            standardise = Standardisation.fit(values[rows])
            model = _fit_model(deepcopy(whole), standardise(values[rows]), labels[rows])
            return _probability(model, standardise(values[fold]))

        return lambda folds: [left_out(fold) for fold in folds]

    def folds_at_once(self, rows: int, metrics: int) -> int:
        return _FOLDS_AT_ONCE

    def _fit(self, standardised: np.ndarray, labels: np.ndarray) -> None:
        self.model_ = _fit_model(_new_model(), standardised, labels)

    def _probability(self, standardised: np.ndarray) -> np.ndarray:
        return _probability(self.model_, standardised)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"coef": self.coef_, "intercept": self.intercept_}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        coef, intercept = arrays["coef"], arrays["intercept"]
        if coef.shape != (1, self.n_features_in_) or intercept.shape != (1,):
            raise ValueError(f"weights {coef.shape} and intercept {intercept.shape} for {self.n_features_in_} metrics")
        self.model_ = _new_model()
        self.model_.coef_ = np.append(coef, intercept[None], axis=1)


def _new_model() -> LogisticRegression:
    return LogisticRegression(solver="newton-cholesky", fit_intercept=False, tol=TOLERANCE, warm_start=True)


def _fit_model(model: LogisticRegression, standardised: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    return model.fit(_with_constant(standardised), labels)


def _probability(model: LogisticRegression, standardised: np.ndarray) -> np.ndarray:
    return expit(_with_constant(standardised) @ model.coef_[0])


def _with_constant(standardised: np.ndarray) -> np.ndarray:
    """A column of ones, whose weight is the intercept, and penalised as all weights are."""
    return np.append(standardised, np.ones((len(standardised), 1)), axis=1)
