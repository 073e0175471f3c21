"""Gradient boosting by LightGBM (Ke et al. 2017): histograms, leaf-wise growth. Deterministic mode always."""

import lightgbm as lgb
import numpy as np

from ..structure import LINK, Ensemble, Tree
from .job import Fitted, Job

DEFAULTS = {
    "n_estimators": 100,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "max_depth": -1,
    "max_bin": 255,
    "min_child_samples": 20,
    "min_child_weight": 1e-3,
    "min_split_gain": 0.0,
    "subsample": 1.0,
    "subsample_freq": 0,
    "colsample_bytree": 1.0,
    "reg_alpha": 0.0,
    "reg_lambda": 0.0,
    "path_smooth": 0.0,
    "extra_trees": False,
    "scale_pos_weight": None,
}
TREES = "n_estimators"
STOPS_EARLY = True
OBJECTIVE = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
METRIC = {"binary": "binary_logloss", "multiclass": "multi_logloss", "regression": "rmse"}
# The parameters that shape the binned matrix: it drops features that min_child_samples makes useless.
BINNING = ("max_bin", "min_child_samples")
ZERO = float(np.float32(1e-35))  # what is no further from 0 than this is read as 0


def fit(job: Job) -> Fitted:
    params = job.given()
    trees, metric = params.pop("n_estimators"), METRIC[job.task]
    params |= {"objective": OBJECTIVE[job.task], "metric": metric, "seed": job.seed, "num_threads": job.threads}
    params |= {"deterministic": True, "force_row_wise": True, "verbosity": -1}
    if job.task == "multiclass":
        params["num_class"] = job.classes
    train, stop = job.cached((job.seed, *(params.get(name) for name in BINNING)), lambda: quantise(job, params))
    stopping = [lgb.early_stopping(job.rounds, verbose=False)] if job.rounds else []
    booster = lgb.train(
        params,
        train,
        trees,
        valid_sets=[stop] if job.rounds else None,
        valid_names=["stop"] if job.rounds else None,
        callbacks=[watch(job), *stopping],
    )
    best = None
    if job.rounds:
        best = booster.best_score["stop"][metric]
        booster = lgb.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
    return Fitted(booster, booster.feature_importance("gain"), booster.current_iteration(), best)


def quantise(job: Job, params: dict) -> tuple[lgb.Dataset, lgb.Dataset | None]:
    """The stop rows in the bins of the training rows."""
    train = lgb.Dataset(job.x, job.y, weight=job.weight, params=params).construct()
    if not job.rounds:
        return train, None
    return train, train.create_valid(job.x_stop, job.y_stop, weight=job.weight_stop, params=params).construct()


def watch(job: Job):
    def after_iteration(env: lgb.callback.CallbackEnv) -> None:
        loss = env.evaluation_result_list[0][2] if job.rounds else None
        job.progress(env.iteration + 1, env.end_iteration, loss)

    return after_iteration


def predict(model: lgb.Booster, x: np.ndarray, job: Job) -> np.ndarray:
    return model.predict(x, num_threads=job.threads)


def structure(model: lgb.Booster, job: Job) -> Ensemble:
    dumped = model.dump_model()
    per_iteration = dumped["num_tree_per_iteration"]
    trees = [tree(info["tree_structure"], i % per_iteration) for i, info in enumerate(dumped["tree_info"])]
    return Ensemble(trees, "<=", per_iteration, LINK[job.task])


def tree(root: dict, target: int) -> Tree:
    """Nested nodes to rows, a parent before its children; no recursion, since leaf-wise trees can be deep."""
    nodes, rows = [root], []
    for node in nodes:
        if "split_feature" in node:
            rows.append((node["split_feature"], node["threshold"], len(nodes), len(nodes) + 1, nan_left(node), 0.0))
            nodes += [node["left_child"], node["right_child"]]
        else:
            rows.append((-1, 0.0, 0, 0, False, node["leaf_value"]))
    feature, threshold, yes, no, nan_yes, leaf = (np.array(values) for values in zip(*rows, strict=True))
    below_zero = (threshold >= -ZERO) & (threshold < 0)
    threshold[below_zero] = np.nextafter(-ZERO, -1)
    return Tree(feature, threshold, yes, no, nan_yes, leaf[:, None], target)


def nan_left(node: dict) -> bool:
    """A feature without missing values in training takes a missing one for 0."""
    return node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0


def native(model: lgb.Booster, job: Job) -> dict[str, bytes]:
    return {"model.txt": model.model_to_string().encode()}
