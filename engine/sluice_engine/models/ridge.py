"""Linear regression with an L2 penalty (Hoerl & Kennard 1970; scikit-learn). No classes."""

import numpy as np
from sklearn.linear_model import LinearRegression, Ridge

from ..prepare import Defaults
from ..protocol import Failure
from ..structure import LINK, Linear
from .job import Fitted, Job

DEFAULTS = {"alpha": 1.0, "fit_intercept": True}
TREES = None
STOPS_EARLY = False
NUMBERS = Defaults(impute="median", scale="standard")
NATIVE = False


def fit(job: Job) -> Fitted:
    """By singular values; without a penalty by least squares, which of columns that determine each other takes the smallest coefficients."""
    if job.task != "regression":
        raise Failure("TASK_UNSUPPORTED", f"ridge predicts numbers; the task is {job.task}: ask for logistic")
    alpha, intercept = job.params["alpha"], job.params["fit_intercept"]
    ridge = Ridge(alpha=alpha, fit_intercept=intercept, solver="svd")
    linear = (ridge if alpha else LinearRegression(fit_intercept=intercept)).fit(job.x, job.y)
    return Fitted(linear, np.abs(linear.coef_) * job.x.std(axis=0))


def predict(model: Ridge | LinearRegression, x: np.ndarray, job: Job) -> np.ndarray:
    return model.predict(x)


def structure(model: Ridge | LinearRegression, job: Job) -> Linear:
    return Linear(model.coef_[None], np.atleast_1d(model.intercept_), LINK[job.task])


def native(model: Ridge | LinearRegression, job: Job) -> dict[str, bytes]:
    return {}
