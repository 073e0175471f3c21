"""Real tables, fitted by the engine and by scikit-learn pipelines of the same estimators: the same predictions."""

import json

import numpy as np
import pytest
from ask import CASES, ENGINE, LINEAR, SMALL, ask, request
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from xgboost import XGBClassifier, XGBRegressor

from sluice_engine import prepare

PENGUINS = ENGINE.parent / "node_modules/vega-datasets/data/penguins.json"
SEED = 3
QUIET = {
    "lightgbm": {"deterministic": True, "force_row_wise": True, "verbose": -1, "n_jobs": 1},
    "catboost": {"boosting_type": "Ordered", "allow_writing_files": False, "verbose": False, "thread_count": 1},
    "xgboost": {"n_jobs": 1},
}
ESTIMATORS = {
    "logistic": (LogisticRegression, None),
    "ridge": (None, Ridge),
    "random_forest": (RandomForestClassifier, RandomForestRegressor),
    "xgboost": (XGBClassifier, XGBRegressor),
    "lightgbm": (LGBMClassifier, LGBMRegressor),
    "catboost": (CatBoostClassifier, CatBoostRegressor),
}
PARAMS = SMALL | {"random_forest": {"n_estimators": 30, "max_features": "sqrt"}}
SCALERS = {"standard": StandardScaler, "min_max": MinMaxScaler, "robust": RobustScaler}


def penguins(label: str) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Numbers first, then words as codes of their sorted vocabulary; null is missing."""
    rows = [row for row in json.loads(PENGUINS.read_text()) if row[label] not in (None, ".")]
    numbers = [name for name in rows[0] if isinstance(rows[0][name], int | float) and name != label]
    words = [name for name in rows[0] if isinstance(rows[0][name], str) and name != label]
    columns = [[np.nan if row[name] is None else row[name] for row in rows] for name in numbers]
    vocabularies = [sorted({row[name] for row in rows} - {None}) for name in words]
    for name, vocabulary in zip(words, vocabularies, strict=True):
        columns.append([np.nan if row[name] is None else vocabulary.index(row[name]) for row in rows])
    y = [row[label] for row in rows]
    coded = np.unique(y, return_inverse=True)[1] if isinstance(y[0], str) else y
    sizes = {f"f{len(numbers) + i}": len(vocabulary) for i, vocabulary in enumerate(vocabularies)}
    return np.array(columns, np.float32).T, np.array(coded, float), sizes


TABLES = {
    "breast_cancer": ("binary", lambda: (*load_breast_cancer(return_X_y=True), {})),
    "wine": ("multiclass", lambda: (*load_wine(return_X_y=True), {})),
    "diabetes": ("regression", lambda: (*load_diabetes(return_X_y=True), {})),
    "penguins": ("multiclass", lambda: penguins("Species")),
    "penguins_sex": ("binary", lambda: penguins("Sex")),
    "penguins_mass": ("regression", lambda: penguins("Body Mass (g)")),
}

WAYS = {  # of preparing, by name
    "by default": {},
    "min_max, ordinal": {"numbers": {"scale": "min_max", "impute": "mean"}, "categories": {"encode": "ordinal"}},
    "robust, target": {"numbers": {"scale": "robust", "impute": "most_frequent"}, "categories": {"encode": "target"}},
}


def pipeline(kind: str, task: str, words: list[int], columns: int, way: dict, y: np.ndarray):
    """What a user of scikit-learn would write."""
    numbers, codes = way.get("numbers", {}), way.get("categories", {})
    impute = numbers.get("impute", "median" if kind in (*LINEAR, "random_forest") else None)
    steps = [SimpleImputer(strategy=impute)] if impute else ["passthrough"]
    scaler = [SCALERS[numbers.get("scale", "standard")]()] if kind in LINEAR else []
    encoder = {
        "one_hot": lambda: [OneHotEncoder(handle_unknown="ignore", sparse_output=False)],
        "ordinal": lambda: [OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), *scaler],
        "target": lambda: [target_encoder(task, y), *scaler],
    }[codes.get("encode", "one_hot")]()
    estimator = ESTIMATORS[kind][task == "regression"](**PARAMS[kind], **QUIET.get(kind, {}))
    if "random_state" in estimator.get_params() or kind == "catboost":
        estimator.set_params(random_state=SEED)
    parts = [("numbers", make_pipeline(*steps, *scaler), [i for i in range(columns) if i not in words])]
    if words:
        parts.append(("words", make_pipeline(SimpleImputer(strategy="most_frequent"), *encoder), words))
    return make_pipeline(ColumnTransformer(parts), estimator)


def target_encoder(task: str, y: np.ndarray) -> TargetEncoder:
    labels = y[:, None] == np.unique(y) if task == "multiclass" else y[:, None]
    kind = "continuous" if task == "regression" else task
    return TargetEncoder(target_type=kind, cv=PredefinedSplit(prepare.folds(labels, SEED)))


def score(task: str, y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    if task == "regression":
        return {"r2": r2_score(y, predicted[:, 0])}
    p = predicted.astype(float)
    labels = np.arange(p.shape[1])
    return {
        "accuracy": accuracy_score(y, p.argmax(axis=1)),
        "log_loss": log_loss(y, p / p.sum(axis=1)[:, None], labels=labels),
    }


@pytest.mark.parametrize(
    ("name", "kind", "way"),
    [
        (name, kind, way)
        for name, (task, _) in TABLES.items()
        for kind, of in CASES
        for way in WAYS
        if of == task and ("penguins" in name or way == "by default")
    ],
)
def test_as_good_as_a_scikit_learn_pipeline(tmp_path, name, kind, way):
    task, read = TABLES[name]
    x, y, words = read()
    order = np.random.default_rng(0).permutation(len(y))
    x, y, cut = x[order].astype(np.float32), y[order], 3 * len(y) // 4
    rows = {"train": [[0, cut]], "predict": [[cut, len(y)]]}
    ours = ask(request(tmp_path, kind, x, y, PARAMS[kind], task=task, rows=rows, seed=SEED, method="export",
        categories=words, prepare=WAYS[way]))  # fmt: skip
    codes = [int(feature[1:]) for feature in words]
    theirs = pipeline(kind, task, codes, x.shape[1], WAYS[way], y[:cut])
    known = y[:cut] if task == "regression" else y[:cut].astype(int)
    matrix = x.astype(float) if kind in LINEAR else x
    theirs.fit(matrix[:cut], known)
    expected = theirs.predict(matrix[cut:])[:, None] if task == "regression" else theirs.predict_proba(matrix[cut:])
    mine, reference = score(task, y[cut:], ours.columns()), score(task, y[cut:], expected)
    for metric, value in reference.items():
        print(f"{name} {kind}, {way}: {metric} {mine[metric]:.4f}, scikit-learn {value:.4f}")  # shown by -rP
        assert mine[metric] == pytest.approx(value, rel=1e-4)
    assert ours.done["metrics"]["parity"] <= 1e-6
