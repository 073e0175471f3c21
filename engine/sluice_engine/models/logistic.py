"""Logistic regression (scikit-learn, lbfgs). No regression task, no other penalty than L2."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ..prepare import Defaults
from ..protocol import Failure
from ..structure import LINK, Linear
from .job import Fitted, Job

DEFAULTS = {"C": 1.0, "max_iter": 1000, "tol": 1e-4, "fit_intercept": True}
TREES = None
STOPS_EARLY = False
NUMBERS = Defaults(impute="median", scale="standard")
NATIVE = False


def fit(job: Job) -> Fitted:
    if job.task == "regression":
        raise Failure("TASK_UNSUPPORTED", "logistic predicts classes; the task is regression: ask for ridge")
    linear = LogisticRegression(**job.params, solver="lbfgs", random_state=job.seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        linear.fit(job.x, job.y, sample_weight=job.weight)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        job.warn("NOT_CONVERGED", f"lbfgs did not converge in {linear.max_iter} iterations")
    return Fitted(linear, np.abs(linear.coef_).mean(axis=0) * job.x.std(axis=0))


def predict(model: LogisticRegression, x: np.ndarray, job: Job) -> np.ndarray:
    return model.predict_proba(x)


def structure(model: LogisticRegression, job: Job) -> Linear:
    return Linear(model.coef_, model.intercept_, LINK[job.task])


def native(model: LogisticRegression, job: Job) -> dict[str, bytes]:
    return {}
