"""Logistic regression behind median imputation and standardisation (scikit-learn, lbfgs). No regression task, no other penalty than L2."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ..protocol import Failure
from ..structure import LINK, Linear
from .job import Fitted, Job

DEFAULTS = {"C": 1.0, "max_iter": 1000, "tol": 1e-4, "fit_intercept": True}
TREES = None
STOPS_EARLY = False


def fit(job: Job) -> Fitted:
    """Float32 values, float64 arithmetic: as precise as the graph, whatever the features' magnitude."""
    if job.task == "regression":
        raise Failure("TASK_UNSUPPORTED", "logistic predicts classes; the task is regression")
    linear = LogisticRegression(**job.params, solver="lbfgs", random_state=job.seed)
    # A feature that is missing in every training row counts as 0, so that F stays F.
    pipeline = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), linear)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.fit(job.x.astype(np.float64), job.y, logisticregression__sample_weight=job.weight)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        job.warn("NOT_CONVERGED", f"lbfgs did not converge in {linear.max_iter} iterations")
    return Fitted(pipeline, np.abs(linear.coef_).mean(axis=0))


def predict(model: Pipeline, x: np.ndarray, job: Job) -> np.ndarray:
    return model.predict_proba(x.astype(np.float64))


def structure(model: Pipeline, job: Job) -> Linear:
    imputer, scaler, linear = (step for _, step in model.steps)
    return Linear(imputer.statistics_, scaler.mean_, scaler.scale_, linear.coef_, linear.intercept_, LINK[job.task])


def native(model: Pipeline, job: Job) -> dict[str, bytes]:
    return {}
