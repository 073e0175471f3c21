"""Gradient boosting by XGBoost (Chen & Guestrin 2016): histograms, one quantised matrix for the whole grid."""

import json

import numpy as np
import xgboost as xgb

from ..prepare import Defaults
from ..structure import LINK, Ensemble, SetColumns, Tree, constant
from .job import Fitted, Job

DEFAULTS = {
    "n_estimators": 100,
    "learning_rate": 0.3,
    "max_depth": 6,
    "max_leaves": 0,
    "max_bin": 256,
    "grow_policy": "depthwise",
    "min_child_weight": 1.0,
    "gamma": 0.0,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
    "colsample_bylevel": 1.0,
    "colsample_bynode": 1.0,
    "reg_alpha": 0.0,
    "reg_lambda": 1.0,
    "max_delta_step": 0.0,
    "max_cat_to_onehot": 4,
    "max_cat_threshold": 64,
    "scale_pos_weight": None,
    "base_score": None,
}
TREES = "n_estimators"
STOPS_EARLY = True
NUMBERS = Defaults(impute=None, scale=None)
NATIVE = True
OBJECTIVE = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
METRIC = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}


def fit(job: Job) -> Fitted:
    params = job.given()
    trees = params.pop("n_estimators")
    params |= {"objective": OBJECTIVE[job.task], "eval_metric": METRIC[job.task], "tree_method": "hist"}
    params |= {"seed": job.seed, "nthread": job.threads, "verbosity": 1}
    if job.task == "multiclass":
        params["num_class"] = job.classes
    train, stop = job.cached((params.get("max_bin"),), lambda: quantise(job, params.get("max_bin", 256)))
    booster = xgb.train(
        params,
        train,
        trees,
        evals=[(stop, "stop")] if job.rounds else [],
        early_stopping_rounds=job.rounds,
        verbose_eval=False,
        callbacks=[Watch(job, trees)],
    )
    best = None
    if job.rounds:
        best = booster.best_score
        booster = booster[: booster.best_iteration + 1]
    gains = booster.get_score(importance_type="total_gain")
    importances = np.array([gains.get(f"f{i}", 0.0) for i in range(job.x.shape[1])])
    return Fitted(booster, importances, booster.num_boosted_rounds(), best)


def quantise(job: Job, bins: int) -> tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix | None]:
    """The stop rows in the bins of the training rows."""
    common = {"max_bin": bins, "nthread": job.threads}
    if job.native:
        types = ["c" if column in job.native else "q" for column in range(job.x.shape[1])]
        common |= {"feature_types": types, "enable_categorical": True}
    train = xgb.QuantileDMatrix(job.x, job.y, weight=job.weight, **common)
    if not job.rounds:
        return train, None
    return train, xgb.QuantileDMatrix(job.x_stop, job.y_stop, weight=job.weight_stop, ref=train, **common)


class Watch(xgb.callback.TrainingCallback):
    def __init__(self, job: Job, trees: int):
        self.job, self.trees = job, trees

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict) -> bool:
        loss = evals_log["stop"][METRIC[self.job.task]][-1] if self.job.rounds else None
        self.job.progress(epoch + 1, self.trees, loss)
        return False


def predict(model: xgb.Booster, x: np.ndarray, job: Job) -> np.ndarray:
    return model.inplace_predict(x)


def structure(model: xgb.Booster, job: Job) -> Ensemble:
    """From XGBoost's JSON (its numbers read back to the same float32). The base score is summed first, as XGBoost does."""
    learner = json.loads(model.save_raw("json"))["learner"]
    base = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float32).ravel()
    if job.task == "binary":
        base = -np.log(np.float32(1) / base - np.float32(1))
    targets = max(1, int(learner["learner_model_param"]["num_class"]))
    ensemble = learner["gradient_booster"]["model"]
    sets = SetColumns(job.x.shape[1], job.native)
    trees = [constant(base[target % len(base)], target) for target in range(targets)]
    trees += [tree(nodes, target, sets) for nodes, target in zip(ensemble["trees"], ensemble["tree_info"], strict=True)]
    return Ensemble(trees, "<", targets, LINK[job.task], float32=True, sets=sets.made())


def tree(nodes: dict, target: int, sets: SetColumns) -> Tree:
    left = np.array(nodes["left_children"])
    values = np.array(nodes["split_conditions"], np.float32).astype(float)  # thresholds, and at leaves their values
    feature = np.array(nodes["split_indices"])
    segments = zip(nodes["categories_nodes"], nodes["categories_segments"], nodes["categories_sizes"], strict=True)
    for node, start, size in segments:  # the categories of a node go to its right
        members = nodes["categories"][start : start + size]
        feature[node] = sets.add(feature[node], members, member_no=True, nan_no=not nodes["default_left"][node])
        values[node] = 0.5
    return Tree(
        feature=np.where(left < 0, -1, feature),
        threshold=values,
        yes=left,
        no=np.array(nodes["right_children"]),
        nan_yes=np.array(nodes["default_left"], bool),
        leaf=values[:, None],
        target=target,
    )


def native(model: xgb.Booster, job: Job) -> dict[str, bytes]:
    return {"model.ubj": bytes(model.save_raw("ubj"))}
