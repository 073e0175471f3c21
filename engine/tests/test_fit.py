"""Fits held to the plain libraries, called as their users call them; determinism, the cache, and what is refused."""

import ast

import numpy as np
import pyarrow as pa
import pytest
from ask import BOOSTING, CLASSIFIERS, ENGINE, KINDS, TREES, ask, request, write
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from lightgbm import early_stopping as stop_lightgbm
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from xgboost import XGBClassifier, XGBRegressor

from sluice_engine import data as data_module
from sluice_engine import models
from sluice_engine.fit import Engine
from sluice_engine.protocol import Failure

PARAMS = {
    "logistic": {"C": 0.3, "max_iter": 50},
    "random_forest": {"n_estimators": 23, "max_depth": 5, "min_samples_leaf": 3, "max_features": 0.5},
    "xgboost": {"n_estimators": 40, "max_depth": 3, "learning_rate": 0.2, "subsample": 0.8, "colsample_bytree": 0.7, "reg_lambda": 2, "gamma": 0.1, "min_child_weight": 2, "max_bin": 64},
    "lightgbm": {"n_estimators": 40, "num_leaves": 7, "learning_rate": 0.2, "subsample": 0.8, "subsample_freq": 1, "colsample_bytree": 0.7, "min_child_samples": 5, "reg_alpha": 0.1, "max_bin": 63},
    "ridge": {"alpha": 0.3},
    "catboost": {"iterations": 20, "depth": 3, "learning_rate": 0.2, "l2_leaf_reg": 2, "border_count": 32},
}  # fmt: skip
EAGER = {"learning_rate": 0.5, "early_stopping_rounds": 5}
PART = {"train": [[0, 400]], "stop": [[400, 500]], "predict": [[500, 600]]}


def plain(kind: str, params: dict, seed: int):
    """The library's own estimator."""
    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(**params))
    if kind == "random_forest":
        return RandomForestClassifier(**params, random_state=seed)
    if kind == "xgboost":
        return XGBClassifier(**params, random_state=seed, n_jobs=1, eval_metric="logloss")
    if kind == "lightgbm":
        return LGBMClassifier(
            **params, random_state=seed, n_jobs=1, deterministic=True, force_row_wise=True, verbose=-1
        )
    return CatBoostClassifier(
        **params, boosting_type="Ordered", random_seed=seed, thread_count=1, allow_writing_files=False, verbose=False
    )


def matrix(kind: str, x: np.ndarray) -> np.ndarray:
    """Scaled in float64; everything else as the float32 it is."""
    return x.astype(np.float64) if kind == "logistic" else x


def weight_name(kind: str) -> str:
    return "logisticregression__sample_weight" if kind == "logistic" else "sample_weight"


@pytest.mark.parametrize("weights", [None, "balanced"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_equals_the_plain_library(tmp_path, binary, kind, weights):
    x, y = binary
    answer = ask(request(tmp_path, kind, x, y, PARAMS[kind] | {"class_weight": weights}, seed=11))
    sample = {weight_name(kind): compute_sample_weight("balanced", y)} if weights else {}
    reference = plain(kind, PARAMS[kind], 11).fit(matrix(kind, x), y.astype(int), **sample)
    assert np.array_equal(answer.columns(), reference.predict_proba(matrix(kind, x)).astype(np.float32))


@pytest.mark.parametrize("kind", BOOSTING)
def test_early_stopping_equals_the_plain_library(tmp_path, binary, kind):
    x, y = binary
    params = PARAMS[kind] | EAGER
    answer = ask(request(tmp_path, kind, x, y, params | {TREES[kind]: 200}, rows=PART))
    rounds = params.pop("early_stopping_rounds")
    reference = plain(kind, params | {TREES[kind]: 200}, 7)
    train, stop = (x[:400], y[:400].astype(int)), (x[400:500], y[400:500].astype(int))
    if kind == "xgboost":
        reference.set_params(early_stopping_rounds=rounds).fit(*train, eval_set=[stop], verbose=False)
        best = reference.best_iteration + 1
    elif kind == "lightgbm":
        patience = stop_lightgbm(rounds, verbose=False)
        reference.fit(*train, eval_X=stop[0], eval_y=stop[1], eval_metric="binary_logloss", callbacks=[patience])
        best = reference.best_iteration_
    else:
        reference.fit(*train, eval_set=stop, early_stopping_rounds=rounds)
        best = reference.best_iteration_ + 1
    assert 1 < best < 100
    assert answer.done["iterations"] == best
    assert np.array_equal(answer.columns(), reference.predict_proba(x[500:]).astype(np.float32))
    p = reference.predict_proba(stop[0])[np.arange(100), stop[1]]
    assert answer.done["metrics"]["stop_log_loss"] == pytest.approx(-np.log(p).mean(), abs=1e-6)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("kind", BOOSTING)
def test_what_stops_the_fit_is_the_loss_of_its_predictions(tmp_path, data, kind, task):
    x, y = data
    if task == "multiclass":
        y = np.digitize(y, [-0.3, 1.0]).astype(float)
    params = {TREES[kind]: 200} | EAGER
    done, columns = [], []
    for rows, iterations in (({"predict": [[400, 500]]}, None), ({"predict": [[400, 500]], "stop": []}, 3)):
        answer = ask(request(tmp_path, kind, x, y, params, task=task, rows=PART | rows, iterations=iterations))
        done.append(answer.done)
        columns.append(answer.columns().astype(float))
    stopped = y[400:500]
    if task == "regression":
        loss, name = np.sqrt(np.mean((columns[0][:, 0] - stopped) ** 2)), "stop_rmse"
    else:
        loss, name = -np.log(columns[0][np.arange(100), stopped.astype(int)]).mean(), "stop_log_loss"
    assert done[0]["metrics"][name] == pytest.approx(loss, rel=1e-5)
    assert 1 < done[0]["iterations"] < 100
    assert done[1]["iterations"] == 3 and name not in done[1]["metrics"]


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_class_weights_of_three_classes_equal_the_plain_library(tmp_path, data, kind):
    x, score = data
    y = np.digitize(score, [-0.3, 2.0])
    answer = ask(request(tmp_path, kind, x, y, PARAMS[kind] | {"class_weight": "balanced"}, task="multiclass"))
    sample = {weight_name(kind): compute_sample_weight("balanced", y)}
    reference = plain(kind, PARAMS[kind], 7).fit(matrix(kind, x), y, **sample)
    assert answer.columns() == pytest.approx(reference.predict_proba(matrix(kind, x)), abs=1e-6)


@pytest.mark.parametrize("kind", BOOSTING)
def test_the_refit_with_the_iterations_found_is_the_same_model(tmp_path, binary, kind):
    params = PARAMS[kind] | EAGER | {TREES[kind]: 200}
    stopped = ask(request(tmp_path, kind, *binary, params, rows=PART))
    fixed = ask(request(tmp_path, kind, *binary, params, rows=PART, iterations=stopped.done["iterations"]))
    assert fixed.done["iterations"] == stopped.done["iterations"]
    assert np.array_equal(fixed.columns(), stopped.columns())


def test_forest_in_stages_is_the_forest(tmp_path, data):
    x, y = data
    answer = ask(
        request(tmp_path, "random_forest", x, y, {"n_estimators": 37, "max_features": None}, task="regression")
    )
    reference = RandomForestRegressor(n_estimators=37, max_features=None, random_state=7).fit(x, y)
    assert np.array_equal(answer.columns()[:, 0], reference.predict(x).astype(np.float32))
    assert list(answer.done["importances"].values()) == pytest.approx(reference.feature_importances_)


def test_regression_equals_the_plain_library(tmp_path, data):
    x, y = data
    answer = ask(request(tmp_path, "xgboost", x, y, PARAMS["xgboost"], task="regression"))
    reference = XGBRegressor(**PARAMS["xgboost"], random_state=7, n_jobs=1).fit(x, y)
    assert np.array_equal(answer.columns()[:, 0], reference.predict(x))


@pytest.mark.parametrize("alpha", [0, 0.3, 100])
def test_ridge_equals_the_plain_library(tmp_path, data, alpha):
    x, y = data
    answer = ask(request(tmp_path, "ridge", x, y, {"alpha": alpha}, task="regression"))
    reference = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(x.astype(float), y)
    assert answer.columns()[:, 0] == pytest.approx(reference.predict(x.astype(float)), abs=1e-6)
    assert list(answer.done["importances"].values()) == pytest.approx(
        np.abs(reference[1].coef_) / np.abs(reference[1].coef_).sum()
    )


def test_ridge_stands_columns_that_determine_each_other(tmp_path, data):
    x, y = data
    twice = np.column_stack([x, x])
    answers = [ask(request(tmp_path, "ridge", each, y, {"alpha": 0}, task="regression")) for each in (x, twice)]
    assert answers[1].columns() == pytest.approx(answers[0].columns(), abs=1e-5)


def test_missing_values_are_imputed_by_the_median_of_the_training_rows(tmp_path, binary):
    x, y = binary
    holes = x.copy()
    holes[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    holes[:, 5] = np.nan
    rows = {"train": [[0, 400]], "predict": [[0, 600]]}
    filled = SimpleImputer(strategy="median", keep_empty_features=True).fit(holes[:400]).transform(holes)
    for kind in ("logistic", "random_forest"):
        answer = ask(request(tmp_path, kind, holes, y, PARAMS[kind], rows=rows))
        reference = plain(kind, PARAMS[kind], 7).fit(matrix(kind, filled[:400]), y[:400])
        expected = reference.predict_proba(matrix(kind, filled))
        assert answer.columns() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_equal_seeds_give_equal_bits_and_the_cache_changes_none(tmp_path, binary, kind):
    params = PARAMS[kind] | ({"early_stopping_rounds": 5} if kind in BOOSTING else {})
    warm = Engine()
    first = ask(request(tmp_path, kind, *binary, params, method="export", rows=PART), warm)
    other = dict(params)
    if kind in TREES:  # another fit on the same rows in between, which shares the matrix
        other |= {TREES[kind]: 7} | ({"learning_rate": 0.05} if kind in BOOSTING else {})
    ask(request(tmp_path, kind, *binary, other, rows=PART, seed=8), warm)
    ask(request(tmp_path, kind, *binary, other, rows=PART | {"train": [[50, 300], [310, 400]]}), warm)
    again = ask(request(tmp_path, kind, *binary, params, method="export", rows=PART), warm)
    cold = ask(request(tmp_path, kind, *binary, params, method="export", rows=PART), Engine())
    assert first.done == again.done == cold.done  # with the sha256 of every file: predictions, ONNX, native
    assert {artefact["name"] for artefact in cold.done["artefacts"]} >= {"model.onnx", "predictions.arrow"}


@pytest.mark.parametrize("change", [{"max_bin": 16}, {"min_child_samples": 60}, {"class_weight": "balanced"}])
def test_what_shapes_the_matrix_is_in_the_key(tmp_path, binary, change):
    x, y = binary
    for kind in ("lightgbm", "xgboost"):
        if not change.keys() <= models.load(kind).DEFAULTS.keys() | {"class_weight"}:
            continue
        warm = Engine()
        before = ask(request(tmp_path, kind, x, y, PARAMS[kind]), warm).done
        after = ask(request(tmp_path, kind, x, y, PARAMS[kind] | change), warm).done
        cold = ask(request(tmp_path, kind, x, y, PARAMS[kind] | change)).done
        assert after == cold
        assert after["artefacts"] != before["artefacts"]


@pytest.mark.parametrize("kind", list(TREES))
def test_another_seed_is_another_model(tmp_path, binary, kind):
    answers = [ask(request(tmp_path, kind, *binary, PARAMS[kind], seed=seed)).columns() for seed in (1, 2)]
    assert not np.array_equal(*answers)


def test_the_cache_is_bounded_and_forgets_the_oldest():
    cache, made = data_module.Cache(2), []
    for key in "abacab":
        assert cache.get(key, lambda key=key: made.append(key) or key) == key
    assert made == ["a", "b", "c", "b"]


def test_rows_by_index_file_equal_ranges(tmp_path, binary):
    by_range = ask(
        request(tmp_path, "xgboost", *binary, PARAMS["xgboost"], rows=PART | {"train": [[0, 100], [200, 400]]})
    )
    index = tmp_path / "rows.arrow"
    write(index, {"row": np.r_[0:100, 200:400].astype(np.uint32)})
    by_index = ask(request(tmp_path, "xgboost", *binary, PARAMS["xgboost"], rows=PART | {"train": str(index)}))
    assert by_index.done == by_range.done


def test_classes_are_predicted_in_their_order(tmp_path, data):
    x, score = data
    y = np.digitize(score, [-0.3, 1.0]) - 1.0
    for kind in CLASSIFIERS:
        asked = request(tmp_path, kind, x, y, PARAMS[kind], task="multiclass")
        p = ask(asked).columns()
        assert p.shape == (600, 3)
        assert p.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert np.mean(np.array([-1, 0, 1])[p.argmax(axis=1)] == y) > 0.5  # by chance about a third
        asked["dataset"]["classes"] = [1, -1, 0]
        other = ask(asked).columns()
        assert np.mean(np.array([1, -1, 0])[other.argmax(axis=1)] == y) > 0.5


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_importances_are_shares(tmp_path, binary, kind):
    done = ask(request(tmp_path, kind, *binary, PARAMS[kind])).done
    assert sum(done["importances"].values()) == pytest.approx(1)
    assert done["importances"]["f0"] > done["importances"]["f5"]  # f5 is noise
    assert done["iterations"] == PARAMS[kind].get(TREES.get(kind))


def test_no_feature_used_no_importances(tmp_path, binary):
    x, y = binary
    for kind in ("xgboost", "lightgbm", "random_forest"):
        answer = ask(request(tmp_path, kind, np.ones_like(x), y, {"n_estimators": 3}, method="export"))
        assert answer.done["importances"] is None
        assert answer.done["metrics"]["parity"] <= 1e-7


def test_nothing_to_predict(tmp_path, binary):
    for kind in CLASSIFIERS:
        answer = ask(request(tmp_path, kind, *binary, PARAMS[kind], method="export", rows={"train": [[0, 600]]}))
        assert answer.columns().shape == (0, 2)
        assert answer.done["metrics"]["parity"] is None


def test_progress_and_warnings(tmp_path, binary):
    answer = ask(request(tmp_path, "logistic", *binary, {"max_iter": 1}))
    assert [event["code"] for event in answer.events] == ["NOT_CONVERGED"]
    answer = ask(request(tmp_path, "random_forest", *binary, {"early_stopping_rounds": 5}))
    assert answer.events[0]["code"] == "PARAM_UNUSED"
    answer = ask(
        request(tmp_path, "xgboost", *binary, {"n_estimators": 2000, "early_stopping_rounds": 1000}, rows=PART)
    )
    steps = [event["step"] for event in answer.events]
    assert steps == sorted(set(steps)) and 0 < len(steps) <= 10
    assert all(event["metrics"]["stop_log_loss"] > 0 and event["eta"] >= 0 for event in answer.events)


def refused(asked: dict) -> Failure:
    with pytest.raises(Failure) as caught:
        ask(asked)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_parameters_are_refused_by_name(tmp_path, binary, kind):
    failure = refused(request(tmp_path, kind, *binary, {"max_dept": 3, "n_jobs": 4}))
    assert failure.code == "UNKNOWN_PARAM"
    assert "max_dept, n_jobs" in failure.reason


@pytest.mark.parametrize(
    ("code", "kind", "change"),
    [
        ("UNKNOWN_KIND", "oracle", {}),
        ("BAD_PARAM", "xgboost", {"class_weight": "heavy"}),
        ("BAD_PARAM", "xgboost", {"early_stopping_rounds": 0}),
        ("FIT_FAILED", "xgboost", {"max_depth": "deep"}),
        ("FIT_FAILED", "lightgbm", {"num_leaves": 1}),
        ("FIT_FAILED", "catboost", {"depth": 99}),
        ("FIT_FAILED", "random_forest", {"max_features": "all"}),
        ("FIT_FAILED", "logistic", {"C": -1}),
        ("TASK_UNSUPPORTED", "ridge", {}),
    ],
)
def test_bad_models_are_refused(tmp_path, binary, code, kind, change):
    assert refused(request(tmp_path, kind, *binary, change)).code == code


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("NO_ROWS", {"train": []}),
        ("NO_ROWS", {"train": [[5, 5]]}),
        ("BAD_REQUEST", {"train": [[0, 601]]}),
        ("BAD_REQUEST", {"train": [[9, 5]]}),
        ("ONE_CLASS", {"train": [[600, 600], [0, 3]]}),
        ("DATASET_MISSING", {"train": "/nowhere.arrow"}),
    ],
)
def test_bad_rows_are_refused(tmp_path, binary, code, change):
    x, y = binary
    y = np.r_[np.zeros(3), y[3:]]
    assert refused(request(tmp_path, "xgboost", x, y, rows=PART | change)).code == code


def test_bad_values_are_refused(tmp_path, binary):
    x, y = binary
    assert refused(request(tmp_path, "logistic", x, np.where(np.arange(600) == 7, np.nan, y))).code == "NOT_FINITE"
    infinite = x.copy()
    infinite[3, 2] = np.inf
    assert "f2" in refused(request(tmp_path, "logistic", infinite, y)).reason
    asked = request(tmp_path, "logistic", x, y)
    asked["dataset"]["classes"] = [0, 2]
    assert refused(asked).code == "UNKNOWN_CLASS"
    three = request(tmp_path, "logistic", x, np.r_[y[:-1], 2], task="multiclass", rows={"train": [[0, 500]]})
    assert refused(three).code == "CLASS_ABSENT"
    assert refused(request(tmp_path, "logistic", x, y, task="regression")).code == "TASK_UNSUPPORTED"
    assert refused(request(tmp_path, "logistic", x, y, iterations=5)).code == "BAD_REQUEST"


def test_a_label_may_be_missing_where_it_is_only_predicted(tmp_path, binary):
    x, y = binary
    y = np.where(np.arange(600) < 500, y, np.nan)
    answer = ask(request(tmp_path, "logistic", x, y, rows={"train": [[0, 500]], "predict": [[500, 600]]}))
    assert len(answer.columns()) == 100


def test_bad_files_are_refused(tmp_path, binary):
    asked = request(tmp_path, "logistic", *binary)
    whole = (tmp_path / "dataset.arrow").read_bytes()
    for content in (b"", b"time,open\n", whole[: len(whole) // 2]):
        (tmp_path / "dataset.arrow").write_bytes(content)
        assert refused(asked).code == "DATASET_CORRUPT"
    (tmp_path / "dataset.arrow").unlink()
    assert refused(asked).code == "DATASET_MISSING"
    write(tmp_path / "dataset.arrow", {"f0": np.zeros(600), "label": binary[1]})
    assert refused(asked).code == "DATASET_CORRUPT"
    asked["dataset"]["features"] = ["f0"]
    assert "double, not float" in refused(asked).reason
    asked = request(tmp_path, "logistic", *binary)
    asked["out"] = str(tmp_path / "nowhere")
    assert refused(asked).code == "BAD_REQUEST"


def test_files_are_what_the_answer_says(tmp_path, binary):
    import hashlib

    answer = ask(request(tmp_path, "lightgbm", *binary, PARAMS["lightgbm"], method="export"))
    for artefact in answer.done["artefacts"]:
        content = (answer.out / artefact["name"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (artefact["sha256"], artefact["bytes"])
    schema = pa.ipc.open_file(str(answer.out / "predictions.arrow")).schema
    assert [(field.name, field.type) for field in schema] == [
        (name, pa.float32()) for name in ("p0", "p1", "onnx_p0", "onnx_p1")
    ]


def test_no_pickle_is_imported():
    imported = set()
    for path in (ENGINE / "sluice_engine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert "numpy" in imported
    assert not imported & {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}
