"""Gradient boosting by CatBoost (Prokhorenkova et al. 2018): ordered, symmetric trees. No native categories."""

import json
import os

import catboost as cb
import numpy as np

from ..prepare import Defaults
from ..protocol import Stopped
from ..structure import LINK, Ensemble, Tree, constant
from .job import Fitted, Job

DEFAULTS = {
    "iterations": 500,
    "learning_rate": None,  # from the size of the data and the number of iterations
    "depth": 6,
    "l2_leaf_reg": None,  # 3; written out it would end the automatic learning rate
    "border_count": 254,
    "boosting_type": "Ordered",
    "bootstrap_type": None,
    "subsample": None,
    "bagging_temperature": None,
    "random_strength": 1.0,
    "rsm": None,
    "leaf_estimation_iterations": None,
    "scale_pos_weight": None,
}
TREES = "iterations"
STOPS_EARLY = True
NUMBERS = Defaults(impute=None, scale=None)
NATIVE = False  # its categories are encoded by what came before in a random order, which no graph can repeat
LOSS = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}


def fit(job: Job) -> Fitted:
    loss = LOSS[job.task]
    params = job.given() | {"loss_function": loss, "random_seed": job.seed, "thread_count": job.threads}
    if job.task == "multiclass":
        params["classes_count"] = job.classes
    model = cb.CatBoost(params | {"allow_writing_files": False, "logging_level": "Silent"})
    train, stop = job.cached((), lambda: pools(job))
    watch = Watch(job, params["iterations"])
    model.fit(train, eval_set=stop, early_stopping_rounds=job.rounds, callbacks=[watch])
    if watch.stopped:
        raise Stopped
    best = model.get_best_score()["validation"][loss] if job.rounds else None
    return Fitted(model, np.array(model.get_feature_importance()), model.tree_count_, best)


def pools(job: Job) -> tuple[cb.Pool, cb.Pool | None]:
    """Not quantised ahead: that is 9 ms of a fit of seconds, and the stop rows could take the borders from a file only."""
    train = cb.Pool(job.x, job.y, weight=job.weight)
    return train, cb.Pool(job.x_stop, job.y_stop, weight=job.weight_stop) if job.rounds else None


class Watch:
    """An exception in a callback would come back wrapped, so a stop is a False and a flag."""

    def __init__(self, job: Job, trees: int):
        self.job, self.trees, self.stopped = job, trees, False

    def after_iteration(self, info) -> bool:
        loss = info.metrics["validation"][LOSS[self.job.task]][-1] if self.job.rounds else None
        try:
            self.job.progress(info.iteration, self.trees, loss)
        except Stopped:
            self.stopped = True
        return not self.stopped


def predict(model: cb.CatBoost, x: np.ndarray, job: Job) -> np.ndarray:
    kind = "RawFormulaVal" if job.task == "regression" else "Probability"
    return model.predict(x, prediction_type=kind, thread_count=job.threads)


def structure(model: cb.CatBoost, job: Job) -> Ensemble:
    """From CatBoost's JSON. A missing value answers every split with no: nan_mode Min, where the lowest float is a border."""
    dumped = json.loads(saved(model, job.out, "json"))
    scale, biases = dumped["scale_and_bias"]
    trees = [constant(bias, target) for target, bias in enumerate(biases)]
    trees += [tree(levels, len(biases), scale) for levels in dumped["oblivious_trees"]]
    return Ensemble(trees, ">", len(biases), LINK[job.task])


def tree(levels: dict, targets: int, scale: float) -> Tree:
    """d levels of one split each, as 2^(d+1) - 1 nodes in heap order. Bit i of a leaf's number answers split i."""
    splits = levels["splits"] or []
    depth = len(splits)
    inner, leaves = 2**depth - 1, 2**depth
    node = np.arange(inner + leaves)
    level = np.floor(np.log2(node + 1)).astype(int)
    feature = np.array([split["float_feature_index"] for split in splits] + [-1])
    border = np.array([split["border"] for split in splits] + [0.0])
    # From the root down the answers are read as bits, first split highest; CatBoost has the first lowest.
    number = [int(f"{leaf:0{depth}b}"[::-1], 2) for leaf in range(leaves)]
    leaf = np.zeros((len(node), targets))
    leaf[inner:] = scale * np.array(levels["leaf_values"]).reshape(leaves, targets)[number]
    no, yes = 2 * node + 1, 2 * node + 2
    return Tree(feature[level], border[level], yes, no, np.zeros(len(node), bool), leaf)


def native(model: cb.CatBoost, job: Job) -> dict[str, bytes]:
    for stamp in ("train_finish_time", "model_guid"):  # all that would differ between equal fits
        model.get_metadata()[stamp] = ""
    return {"model.cbm": saved(model, job.out, "cbm")}


def saved(model: cb.CatBoost, out: str, form: str) -> bytes:
    """CatBoost saves to paths only."""
    path = os.path.join(out, f".catboost.{os.getpid()}")
    try:
        model.save_model(path, format=form)
        with open(path, "rb") as file:
            return file.read()
    finally:
        if os.path.exists(path):
            os.remove(path)
