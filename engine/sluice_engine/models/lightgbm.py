"""Gradient boosting by LightGBM (Ke et al. 2017): histograms, leaf-wise growth. Deterministic mode always."""

import lightgbm as lgb
import numpy as np

from ..prepare import Defaults
from ..structure import LINK, Ensemble, SetColumns, Tree
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
    "max_cat_to_onehot": 4,
    "max_cat_threshold": 32,
    "min_data_per_group": 100,
    "cat_smooth": 10.0,
    "cat_l2": 10.0,
    "scale_pos_weight": None,
}
TREES = "n_estimators"
STOPS_EARLY = True
NUMBERS = Defaults(impute=None, scale=None)
NATIVE = True
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
    train, stop = job.cached(tuple(params.get(name) for name in BINNING), lambda: quantise(job, params))
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
    common = {"params": params, "categorical_feature": list(job.native) or "auto"}  # auto: none, of an array
    train = lgb.Dataset(job.x, job.y, weight=job.weight, **common).construct()
    if not job.rounds:
        return train, None
    return train, lgb.Dataset(job.x_stop, job.y_stop, weight=job.weight_stop, reference=train, **common).construct()


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
    sets = SetColumns(job.x.shape[1], job.native)
    trees = [tree(info["tree_structure"], i % per_iteration, sets) for i, info in enumerate(dumped["tree_info"])]
    return Ensemble(trees, "<=", per_iteration, LINK[job.task], sets=sets.made())


def tree(root: dict, target: int, sets: SetColumns) -> Tree:
    """Nested nodes to rows, a parent before its children; no recursion, since leaf-wise trees can be deep."""
    nodes, rows = [root], []
    for node in nodes:
        if "split_feature" in node:
            rows.append((*question(node, sets), len(nodes), len(nodes) + 1, nan_left(node), 0.0))
            nodes += [node["left_child"], node["right_child"]]
        else:
            rows.append((-1, 0.0, 0, 0, False, node["leaf_value"]))
    feature, threshold, yes, no, nan_yes, leaf = (np.array(values) for values in zip(*rows, strict=True))
    below_zero = (threshold >= -ZERO) & (threshold < 0)
    threshold[below_zero] = np.nextafter(-ZERO, -1)
    return Tree(feature, threshold, yes, no, nan_yes, leaf[:, None], target)


def question(node: dict, sets: SetColumns) -> tuple[int, float]:
    """Column and threshold. The categories of a node go to its left; a missing one is none of them."""
    if node["decision_type"] == "<=":
        return node["split_feature"], node["threshold"]
    members = [int(category) for category in node["threshold"].split("||")]
    return sets.add(node["split_feature"], members, member_no=False, nan_no=True), 0.5


def nan_left(node: dict) -> bool:
    """A feature without missing values in training takes a missing one for 0; a column of a set is never missing."""
    if node["decision_type"] == "==":
        return False
    return node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0


def native(model: lgb.Booster, job: Job) -> dict[str, bytes]:
    return {"model.txt": model.model_to_string().encode()}
