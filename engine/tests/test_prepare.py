"""Tables: what is done to numbers and categories before a model, held to scikit-learn and to its own graph."""

import msgspec
import numpy as np
import pytest
from ask import BOUND, CASES, SMALL, Trained, ask, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from sluice_engine import prepare, protocol
from sluice_engine.fit import Engine
from sluice_engine.protocol import Categories, Failure, Numbers

NAN = np.float32(np.nan)
NUMBERS = st.fixed_dictionaries(
    {
        "impute": st.sampled_from([None, "median", "mean", "most_frequent", "constant"]),
        "value": st.sampled_from([0, -7.3, 1e30]),
        "indicator": st.booleans(),
        "clip": st.sampled_from([None, [0.05, 0.9]]),
        "scale": st.sampled_from([None, "standard", "min_max", "robust", "none"]),
    }
)
SIZES = {"f2": 3, "f3": 40, "f4": 2, "f5": 0}  # words; f0 and f1 are numbers


@st.composite
def preparations(draw, kind: str) -> dict:
    encode = st.sampled_from(["one_hot", "ordinal", "target", *(["native"] if kind in ("xgboost", "lightgbm") else [])])
    words = st.fixed_dictionaries({"encode": encode, "impute": st.sampled_from(["most_frequent", "own"])})
    return {
        "numbers": draw(NUMBERS),
        "categories": draw(words),
        "columns": {"f1": draw(NUMBERS), "f3": draw(words), "f5": draw(words)},
    }


def table(seed: int, rows: int = 120) -> np.ndarray:
    """Two numbers and four categories, one of which is never there; words of f3 that few or no rows have."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 2)) * [1, 1e3] + [0, 5]
    x = np.column_stack([numbers, *(rng.integers(0, max(size, 1), rows) for size in SIZES.values())])
    x[rng.random(x.shape) < 0.15] = np.nan
    x[:, 5] = np.nan
    return x.astype(np.float32)


def target(x: np.ndarray, task: str, seed: int) -> np.ndarray:
    score = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 3]) % 3 + np.random.default_rng(seed).normal(size=len(x))
    if task == "regression":
        return score
    return np.digitize(score, np.quantile(score, [0.5] if task == "binary" else [0.3, 0.7])).astype(float)


def strange(x: np.ndarray, seed: int) -> np.ndarray:
    """Words never seen, codes that are none, numbers of every size, missing values anywhere."""
    rng = np.random.default_rng(seed)
    odd = np.array([np.nan, 0, -0.0, -1, 0.5, 1, 2, 3, 39, 40, 41, 1e-30, -1e-30, 1e9, 3e34, -3e34], np.float32)
    return np.where(rng.random(x.shape) < 0.4, rng.choice(odd, x.shape), x)


@pytest.mark.filterwarnings("ignore:.*encountered in reduce:RuntimeWarning")  # scikit-learn sums, to see what is finite
@pytest.mark.parametrize(("kind", "task"), CASES)
def test_parity_whatever_is_asked_for(tmp_path, kind, task):
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(prepare=preparations(kind), seed=st.integers(0, 1000))
    def law(prepare, seed):
        x = table(seed)
        params = SMALL[kind] | ({"min_data_per_group": 3} if kind == "lightgbm" else {})
        trained = Trained(
            tmp_path, kind, x, target(x, task, seed), params, task=task, seed=seed, categories=SIZES, prepare=prepare
        )
        assert trained.difference(x) <= BOUND[kind]
        assert trained.difference(strange(x, seed)) <= BOUND[kind]

    law()


TREE, LINEAR = prepare.Defaults(None, None), prepare.Defaults("median", "standard")
SCALERS = {"standard": StandardScaler(), "min_max": MinMaxScaler(), "robust": RobustScaler()}


def prepared(x, treatment, defaults=TREE, words=None, labels=None, seed=0):
    """(training rows as they are fitted on, and as any rows are prepared)"""
    labels = np.zeros((len(x), 1)) if labels is None else labels
    sizes = [words or 0] * x.shape[1]
    made, matrix = prepare.fit(x, labels, [treatment] * x.shape[1], sizes, defaults, None, seed)
    return matrix, lambda rows: prepare.apply(made, rows)


@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent", "constant"])
@pytest.mark.parametrize("scale", ["standard", "min_max", "robust"])
def test_numbers_are_imputed_and_scaled_as_by_scikit_learn(impute, scale):
    x = np.round(table(1)[:, :3] * 4, 0).astype(np.float32)  # with ties
    matrix, apply = prepared(x, Numbers(impute=impute, value=2.5, scale=scale), LINEAR)
    imputer = SimpleImputer(strategy=impute, fill_value=2.5).fit(x.astype(float))
    scaler = SCALERS[scale].fit(imputer.transform(x.astype(float)))
    new = table(2)[:, :3]
    assert matrix == pytest.approx(scaler.transform(imputer.transform(x.astype(float))), abs=1e-12)
    assert apply(new) == pytest.approx(scaler.transform(imputer.transform(new.astype(float))), abs=1e-9, rel=1e-12)


def test_indicators_are_those_of_scikit_learn():
    x = table(3)
    x[:, 1] = 1  # nothing missing: no indicator
    _, apply = prepared(x, Numbers(indicator=True))
    assert np.array_equal(apply(table(4))[:, 6:], MissingIndicator(error_on_new=False).fit(x).transform(table(4)))


def test_clipping_is_by_training_quantiles_before_imputing():
    x, new = table(5)[:, :2], table(6)[:, :2] * 10
    _, apply = prepared(x, Numbers(clip=(0.1, 0.8), impute="mean"))
    low, high = np.nanquantile(x.astype(float), [0.1, 0.8], axis=0).astype(np.float32)
    means = np.nanmean(x.astype(float).clip(low, high), axis=0).astype(np.float32)
    assert np.array_equal(apply(new), np.where(np.isnan(new), means, new.clip(low, high)))
    _, apply = prepared(x, Numbers(clip=(0.1, 0.8), impute="constant", value=-999))
    assert (apply(new)[np.isnan(new)] == -999).all()  # a mark stays one


@pytest.mark.parametrize("impute", ["most_frequent", "own"])
def test_categories_are_encoded_as_by_scikit_learn(impute):
    x, new = table(7, 60)[:, 2:5], table(8, 300)[:, 2:5]  # 40 words on 60 rows: new rows have words that these have not
    strategy = "constant" if impute == "own" else impute
    filler = SimpleImputer(strategy=strategy, fill_value=99)
    known, unknown = filler.fit_transform(x), filler.transform(new)
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(known)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(known)
    for encode, encoder in (("one_hot", hot), ("ordinal", ordinal)):
        matrix, apply = prepared(x, Categories(encode=encode, impute=impute), words=40)
        assert np.array_equal(matrix, encoder.transform(known))
        assert np.array_equal(apply(new), encoder.transform(unknown))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_target_encoding_is_scikit_learns_on_the_same_folds(task):
    x, new = table(9)[:, 2:5], table(10)[:, 2:5]
    y = target(table(9), task, 9)
    labels = y[:, None] == np.unique(y) if task == "multiclass" else y[:, None]
    matrix, apply = prepared(
        x, Categories(encode="target", impute="own"), words=40, labels=labels.astype(float), seed=3
    )
    folds = PredefinedSplit(prepare.folds(labels, 3))
    encoder = TargetEncoder(target_type="continuous" if task == "regression" else task, cv=folds)
    known, unknown = np.nan_to_num(x, nan=99), np.nan_to_num(new, nan=99)
    assert matrix == pytest.approx(encoder.fit_transform(known, y), abs=1e-6)
    assert apply(new) == pytest.approx(encoder.transform(unknown), abs=1e-6)
    assert matrix.dtype == np.float32


def test_no_row_is_encoded_by_its_own_label():
    x = table(11)[:, 2:5]
    labels = np.random.default_rng(11).normal(size=(len(x), 1))
    how = Categories(encode="target", impute="own")
    before, _ = prepared(x, how, words=40, labels=labels)
    for row in range(0, len(x), 10):
        changed = labels.copy()
        changed[row] += 100
        after, _ = prepared(x, how, words=40, labels=changed)
        assert np.array_equal(after[row], before[row])
        assert not np.array_equal(after, before)


@settings(max_examples=50, deadline=None)
@given(labels=st.lists(st.sampled_from([0, 1]) | st.just(2), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_folds_share_out_the_rows_and_each_class(labels, seed):
    labels = np.array(labels)
    fold = prepare.folds(labels[:, None] == np.arange(3), seed)
    for rows in (labels == 0, labels == 1, labels == 2, labels >= 0):
        counts = np.bincount(fold[rows], minlength=5)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("encode", ["one_hot", "target"])
@pytest.mark.parametrize("kind", ["logistic", "xgboost", "random_forest"])
def test_only_training_rows_teach(tmp_path, kind, encode):
    """Other values and labels in the stop and predict rows: the same model, to the last bit."""
    x, rows = table(12, 300), {"train": [[0, 150]], "stop": [[150, 200]], "predict": [[0, 150]]}
    y = target(x, "binary", 12)
    how = {"numbers": {"impute": "mean", "indicator": True, "clip": [0.1, 0.9]}, "categories": {"encode": encode}}
    other, opposite = np.r_[x[:150], table(13, 150) * 0], np.r_[y[:150], 1 - y[150:]]
    predicted = [
        ask(request(tmp_path, kind, *data, SMALL[kind], rows=rows, categories=SIZES, prepare=how)).columns()
        for data in ((x, y), (other, opposite))
    ]
    assert np.array_equal(*predicted)


@pytest.mark.parametrize(("kind", "task"), CASES)
def test_equal_requests_give_equal_bytes_with_categories_too(tmp_path, kind, task):
    x, warm = table(14), Engine()
    encodings = ["target", "one_hot", *(["native"] if kind in ("xgboost", "lightgbm") else [])]
    ways = [{"prepare": {"categories": {"encode": encode}}, "seed": seed} for encode in encodings for seed in (1, 2)]
    common = {"method": "export", "task": task, "categories": SIZES}
    first = [
        ask(request(tmp_path, kind, x, target(x, task, 14), SMALL[kind], **common, **way), warm).done for way in ways
    ]
    for way, done in zip(ways, first, strict=True):
        assert ask(request(tmp_path, kind, x, target(x, task, 14), SMALL[kind], **common, **way), warm).done == done
        assert ask(request(tmp_path, kind, x, target(x, task, 14), SMALL[kind], **common, **way)).done == done


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_native_categories_stop_early_by_the_loss_of_their_predictions(tmp_path, kind, task):
    """The stop rows have words that no training row has."""
    x = table(15, 400)
    x[:300, 3] %= 20
    y = np.random.default_rng(15).normal(size=40)[np.nan_to_num(x[:, 3]).astype(int)] + np.nan_to_num(x[:, 0])
    if task != "regression":
        y = np.digitize(y, [0] if task == "binary" else [-0.5, 0.5]).astype(float)
    params = {"learning_rate": 0.3, "n_estimators": 60, "early_stopping_rounds": 5, "max_cat_to_onehot": 1}
    params |= {"min_data_per_group": 5, "cat_smooth": 1.0} if kind == "lightgbm" else {}
    answer = ask(request(tmp_path, kind, x, y, params, task=task, method="export", categories=SIZES,
        rows={"train": [[0, 300]], "stop": [[300, 400]], "predict": [[300, 400]]},
        prepare={"categories": {"encode": "native", "impute": "own"}}))  # fmt: skip
    p, y = answer.columns().astype(float), y[300:]
    if task == "regression":
        loss = np.sqrt(np.mean((p[:, 0] - y) ** 2))
    else:
        loss = -np.log(p[np.arange(100), y.astype(int)]).mean()
    metric = "stop_rmse" if task == "regression" else "stop_log_loss"
    assert answer.done["metrics"][metric] == pytest.approx(loss, rel=1e-5)
    assert answer.done["importances"]["f3"] > 0.2
    assert answer.done["metrics"]["parity"] <= 1e-6


@pytest.mark.parametrize(("kind", "task"), CASES)
def test_importances_are_of_features(tmp_path, kind, task):
    x = table(16, 400)
    answer = ask(request(tmp_path, kind, x, target(x, task, 16), SMALL[kind], task=task, categories=SIZES,
        prepare={"numbers": {"indicator": True}, "categories": {"impute": "own"}}))  # fmt: skip
    importances = answer.done["importances"]
    assert list(importances) == [f"f{i}" for i in range(6)]
    assert sum(importances.values()) == pytest.approx(1)
    assert importances["f0"] + importances["f3"] > importances["f1"] + importances["f2"] + importances["f4"]
    assert importances["f5"] == 0


@pytest.mark.parametrize(("kind", "task"), CASES)
@pytest.mark.parametrize("word", [np.nan, 3])
def test_a_table_of_nothing_but_missing_values_or_unknown_words(tmp_path, kind, task, word):
    """All that is left to say is the mean label, or the share of each class."""
    x = np.full((60, 2), np.nan, np.float32)
    x[:, 0] = word
    for encode in ("one_hot", "ordinal", "target"):
        y = np.arange(60) % {"binary": 2, "multiclass": 3, "regression": 7}[task]
        answer = ask(request(tmp_path, kind, x, y, SMALL[kind], task=task, method="export", categories={"f0": 3},
            prepare={"categories": {"encode": encode}}))  # fmt: skip
        assert answer.done["metrics"]["parity"] <= BOUND[kind]
        if encode == "one_hot":
            expected = [y.mean()] if task == "regression" else np.bincount(y) / 60
            assert answer.columns()[0] == pytest.approx(expected, abs=0.2)


def refused(asked: dict) -> Failure:
    with pytest.raises(Failure) as caught:
        ask(asked)
    return caught.value


def test_what_cannot_be_done_is_said(tmp_path):
    x, y = table(17), target(table(17), "binary", 17)
    native = {"categories": SIZES, "prepare": {"columns": {"f3": {"encode": "native"}}}}
    for kind in ("logistic", "random_forest", "catboost"):
        failure = refused(request(tmp_path, kind, x, y, **native))
        assert failure.code == "ENCODING_UNSUPPORTED"
        assert "one_hot, ordinal or target" in failure.reason
    warm = Engine()  # what XGBoost has prepared is not given to CatBoost unasked
    ask(request(tmp_path, "xgboost", x, y, **native), warm)
    with pytest.raises(Failure, match="ENCODING_UNSUPPORTED"):
        ask(request(tmp_path, "catboost", x, y, **native), warm)
    assert refused(request(tmp_path, "logistic", x, y, categories=SIZES | {"f3": 20})).code == "DATASET_CORRUPT"
    assert refused(request(tmp_path, "logistic", x, y, categories={"f0": 20})).code == "DATASET_CORRUPT"
    assert refused(request(tmp_path, "ridge", x, y)).code == "TASK_UNSUPPORTED"
    for categories, how in [
        ({"f9": 3}, {}),
        ({}, {"columns": {"f9": {}}}),
        ({}, {"columns": {"f0": {"encode": "one_hot"}}}),
        (SIZES, {"columns": {"f3": {"scale": "standard"}}}),
        ({}, {"numbers": {"clip": [0.9, 0.1]}}),
        ({}, {"columns": {"f0": {"clip": [0.5, 0.5]}}}),
        ({}, {"columns": {"f0": {"impute": "own"}}}),
    ]:
        assert refused(request(tmp_path, "logistic", x, y, categories=categories, prepare=how)).code == "BAD_REQUEST"


def test_a_column_has_the_last_word():
    both = {"numbers": {"impute": "mean", "clip": [0.1, 0.9]}, "columns": {"f1": {"clip": None, "indicator": True}}}
    x = table(18)[:, :2]
    made, _ = prepare.fit(x, np.zeros((len(x), 1)), treatments_of(x, both), [0, 0], TREE, None, 0)
    assert list(np.isfinite(made.numbers.low)) == [True, False]
    assert list(made.numbers.indicated) == [1]
    assert np.isfinite(made.numbers.fill).all()


def treatments_of(x: np.ndarray, how: dict) -> list:
    asked = {
        "id": "1",
        "method": "fit",
        "dataset": {"digest": "d", "path": "p", "features": [f"f{i}" for i in range(x.shape[1])], "label": "label", "task": "regression"},
        "model": {"kind": "ridge", "prepare": how},
        "rows": {"train": []},
        "out": "o",
    }  # fmt: skip
    return protocol.treatments(protocol.decode(msgspec.json.encode(asked)))
