"""Linear regression with an L2 penalty (Hoerl & Kennard 1970; scikit-learn). Regression only.

Solved by singular values: of columns that determine each other, such as a whole one-hot, it takes the smallest
coefficients, where the normal equations would be singular.
"""

import numpy as np
from sklearn.linear_model import Ridge

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
    if job.task != "regression":
        raise Failure("TASK_UNSUPPORTED", f"ridge predicts numbers; the task is {job.task}: ask for logistic")
    linear = Ridge(**job.params, solver="svd").fit(job.x, job.y)
    return Fitted(linear, np.abs(linear.coef_) * job.x.std(axis=0))


def predict(model: Ridge, x: np.ndarray, job: Job) -> np.ndarray:
    return model.predict(x)


def structure(model: Ridge, job: Job) -> Linear:
    return Linear(model.coef_[None], np.atleast_1d(model.intercept_), LINK[job.task])


def native(model: Ridge, job: Job) -> dict[str, bytes]:
    return {}
