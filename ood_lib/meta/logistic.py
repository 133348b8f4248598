"""Logistic regression, the baseline's meta classifier (Chan et al. 2021)."""

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ood_lib.meta.classifier import MetaClassifier


class LogisticMetaClassifier(MetaClassifier):
    """p^FP = sigmoid(w z + b) of standardised metrics z: m + 1 parameters, 76 for 75 metrics.

    Minimises the sum over all segments of the cross-entropy plus (|w|^2 + b^2) / 2: scikit-learn's
    L2 penalty with C = 1 and the intercept penalised, as the baseline's solver "liblinear" does it.
    """

    @property
    def coef_(self) -> np.ndarray:
        """w (1, m), as in scikit-learn, but per standard deviation of a metric."""
        return self.parameters_[None, :-1]

    @property
    def intercept_(self) -> np.ndarray:
        """b (1,)."""
        return self.parameters_[-1:]

    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Newton's method; from the first table's optimum, it is two or three steps to another."""
        model = LogisticRegression(
            solver="newton-cholesky", fit_intercept=False, tol=1e-10, warm_start=True)
        optima = []
        # The weight of a metric that is always 1 is b, and is penalised like any other.
        inputs = np.append(inputs, np.ones_like(inputs[..., :1]), axis=2)            # (F, n, m + 1)
        for table, labels in zip(inputs, targets, strict=True):
            optima.append(model.fit(table, labels).coef_[0])                         # (m + 1,)
            model.coef_ = optima[0][None]
        return np.stack(optima)

    def probability(self, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        return expit((inputs @ parameters[:, :-1, None])[..., 0] + parameters[:, -1:])  # (F, n)
