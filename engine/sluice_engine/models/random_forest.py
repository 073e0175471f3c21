"""Random forest (scikit-learn). Missing values are imputed, with float32 values like the features, so that nothing is rounded."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from ..prepare import Defaults
from ..structure import Ensemble, Tree
from .job import Fitted, Job

DEFAULTS = {
    "n_estimators": 100,
    "max_depth": None,
    "min_samples_split": 2,
    "min_samples_leaf": 1,
    "max_features": "sqrt",
    "max_leaf_nodes": None,
    "min_impurity_decrease": 0.0,
    "bootstrap": True,
    "max_samples": None,
    "ccp_alpha": 0.0,
}
TREES = "n_estimators"
STOPS_EARLY = False
NUMBERS = Defaults(impute="median", scale=None)
NATIVE = False
Forest = RandomForestClassifier | RandomForestRegressor
STAGES = 10  # the forest grows in stages so that it can be stopped; the trees are the same as in one go


def fit(job: Job) -> Fitted:
    """Needs no stop rows: more trees never overfit (Breiman 2001)."""
    family = RandomForestRegressor if job.task == "regression" else RandomForestClassifier
    params = dict(job.params)
    trees = params.pop("n_estimators")
    forest = family(n_estimators=0, **params, random_state=job.seed, n_jobs=job.threads, warm_start=True)
    for grown in sorted({-(-trees * stage // STAGES) for stage in range(1, STAGES + 1)}):
        forest.set_params(n_estimators=grown)
        forest.fit(job.x, job.y, sample_weight=job.weight)
        job.progress(grown, trees)
    return Fitted(forest, forest.feature_importances_, trees)


def predict(model: Forest, x: np.ndarray, job: Job) -> np.ndarray:
    return model.predict(x) if job.task == "regression" else model.predict_proba(x)


def structure(model: Forest, job: Job) -> Ensemble:
    trees = [tree(estimator.tree_, len(model.estimators_)) for estimator in model.estimators_]
    return Ensemble(trees, "<=", job.classes or 1, "identity")


def tree(nodes, count: int) -> Tree:
    inner = nodes.children_left >= 0
    return Tree(
        feature=np.where(inner, nodes.feature, -1),
        threshold=nodes.threshold,
        yes=nodes.children_left,
        no=nodes.children_right,
        nan_yes=np.zeros(len(inner), bool),
        leaf=nodes.value[:, 0, :] / count,  # (n, K) class shares since scikit-learn 1.3
    )


def native(model: Forest, job: Job) -> dict[str, bytes]:
    return {}
