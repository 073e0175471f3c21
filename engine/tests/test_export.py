"""ONNX against the native model: hard data, every pattern of missing values, and what the graph may hold."""

import catboost
import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
from ask import BOOSTING, BOUND, CASES, CLASSIFIERS, KINDS, SMALL, TREES, Trained, ask, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sluice_engine import export, fit
from sluice_engine.structure import Ensemble


def labels(score: np.ndarray, task: str) -> np.ndarray:
    if task == "regression":
        return score
    return np.digitize(score, np.quantile(score, [0.5] if task == "binary" else [0.3, 0.7])).astype(float)


def holes(x: np.ndarray, share: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(3)
    holed = np.where(rng.random(x.shape) < share, np.float32(np.nan), x)
    holed[:5] = np.nan
    return holed


def at_thresholds(structure: Ensemble, x: np.ndarray) -> np.ndarray:
    """Rows whose values lie on a split of the model, or one float32 to either side of it."""
    rng = np.random.default_rng(4)
    rows = [x[0]]
    for tree in structure.trees:
        for node in np.flatnonzero(tree.feature >= 0)[:20]:
            with np.errstate(over="ignore"):
                threshold = np.float32(tree.threshold[node])
            if np.isinf(threshold):  # beyond every float32: LightGBM splits the missing from the rest at 1e300
                continue
            for value in (
                threshold,
                np.nextafter(threshold, np.float32(3e38)),
                np.nextafter(threshold, np.float32(-3e38)),
            ):
                row = x[rng.integers(len(x))].copy()
                row[tree.feature[node]] = value
                rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("missing", ["never", "in training", "only in prediction"])
@pytest.mark.parametrize(("kind", "task"), CASES)
def test_parity(tmp_path, data, kind, task, missing):
    x, score = data
    trained = Trained(
        tmp_path, kind, holes(x) if missing == "in training" else x, labels(score, task), SMALL[kind], task=task
    )
    assert trained.difference(x if missing == "never" else holes(x)) <= BOUND[kind]
    if isinstance(trained.structure, Ensemble):
        assert trained.difference(at_thresholds(trained.structure, x)) <= BOUND[kind]


def hard(name: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(400, 6))
    whole = rng.integers(-4, 5, size=(400, 6))
    scales = 10.0 ** np.array([-30, -9, -3, 3, 9, 30])
    return {
        "neighbouring floats near 1e9": 1e9 + 64.0 * whole,
        "magnitudes 1e-30 to 1e30": noise * scales,
        "ties": whole.astype(float),
        "denormals": whole * 1.4e-45,
        "zeros of both signs": np.where(noise > 0.5, noise, np.where(noise > 0, 0.0, -0.0)),
        "a column never seen": np.column_stack([noise[:, :5], np.full(400, np.nan)]),
        "a constant column": np.column_stack([noise[:, :5], np.full(400, 7.0)]),
    }[name].astype(np.float32)


HARD = ["neighbouring floats near 1e9", "magnitudes 1e-30 to 1e30", "ties", "denormals", "zeros of both signs", "a column never seen", "a constant column"]  # fmt: skip


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("kind", KINDS)
def test_parity_on_hard_data(tmp_path, kind, name):
    x, task = hard(name), "regression" if kind == "ridge" else "binary"
    y = labels((np.argsort(np.argsort(x[:, 0])) + 80 * np.random.default_rng(6).normal(size=400)), task)
    for training in (x, holes(x)):
        trained = Trained(tmp_path, kind, training, y, SMALL[kind], task=task)
        assert trained.difference(x) <= BOUND[kind]
        assert trained.difference(holes(x)) <= BOUND[kind]
        if isinstance(trained.structure, Ensemble):
            assert trained.difference(at_thresholds(trained.structure, x)) <= BOUND[kind]


@pytest.mark.parametrize("kind", list(TREES))
def test_parity_of_500_deep_trees_on_50_features(tmp_path, kind):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(500, 50)).astype(np.float32)
    y = labels(x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=500), "binary")
    depth = {
        "random_forest": {},
        "xgboost": {"max_depth": 12, "learning_rate": 0.05},
        "lightgbm": {"num_leaves": 64, "min_child_samples": 2, "learning_rate": 0.05},
        "catboost": {"boosting_type": "Plain", "depth": 6, "learning_rate": 0.05},
    }
    trained = Trained(tmp_path, kind, x, y, depth[kind] | {TREES[kind]: 500})
    assert trained.difference(np.concatenate([x, holes(x), rng.normal(size=(500, 50)).astype(np.float32)])) <= 1e-6


@pytest.fixture(scope="module", params=[(kind, seen) for kind in CLASSIFIERS for seen in (False, True)], ids=str)
def trained(request, tmp_path_factory, data):
    """Each kind, trained without and with missing values."""
    kind, seen = request.param
    x, score = data
    return Trained(
        tmp_path_factory.mktemp("trained"), kind, holes(x) if seen else x, labels(score, "binary"), SMALL[kind]
    ), kind


number = st.floats(width=32, allow_nan=True, allow_infinity=False) | st.sampled_from(
    [np.nan, 0.0, -0.0, 1e-35, -1e-35, 3.4e38, -3.4e38]
)


@pytest.mark.filterwarnings(
    "ignore:.*encountered in reduce:RuntimeWarning"
)  # scikit-learn sums the matrix to see whether it is finite
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=arrays(np.float32, st.tuples(st.integers(1, 20), st.just(6)), elements=number))
def test_parity_on_any_float32(trained, rows):
    model, kind = trained
    assert model.difference(rows) <= BOUND[kind]


def test_a_difference_is_absolute_up_to_its_unit_and_relative_above():
    def apart(native, onnx, *unit):
        return fit.difference(np.array(native, np.float32), np.array(onnx, np.float32), *unit)

    assert apart([[0.25], [0.5]], [[0.25], [0.75]]) == 0.25
    assert apart([[512], [512]], [[512], [516]]) == 4 / 512
    assert apart([[0], [-64], [64]], [[1], [-64], [64]]) == 1
    assert apart([[0], [-64], [64]], [[1], [-64], [64]], 64) == 1 / 64
    assert apart([[0, -64], [0, 64]], [[0.5, -64], [0, 68]], np.array([1, 50])) == 0.5
    assert not apart([[1], [np.nan]], [[1], [2]]) <= 1e-5
    assert fit.difference(np.empty((0, 1)), np.empty((0, 1))) is None


@pytest.mark.parametrize(("kind", "task"), CASES)
def test_graph_keeps_to_the_contract(tmp_path, data, kind, task):
    x, score = data
    model = onnx.load_model_from_string(Trained(tmp_path, kind, x, labels(score, task), SMALL[kind], task=task).onnx)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx.ml"}
    assert "ZipMap" not in {node.op_type for node in model.graph.node}
    assert not model.graph.sparse_initializer
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [value.name for value in model.graph.input] == ["features"]
    columns = {"binary": 2, "multiclass": 3, "regression": 1}[task]
    [output] = model.graph.output
    assert output.name == ("prediction" if task == "regression" else "probability")
    assert output.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [size.dim_param or size.dim_value for size in output.type.tensor_type.shape.dim] == ["N", columns]


def test_a_graph_predicts_one_row_as_it_predicts_many(tmp_path, binary):
    x, y = binary
    for kind in CLASSIFIERS:
        graph = Trained(tmp_path, kind, x, y, SMALL[kind]).onnx
        together = export.run(graph, x[:50], 1)
        alone = np.concatenate([export.run(graph, x[i : i + 1], 1) for i in range(50)])
        assert np.array_equal(together, alone)


@pytest.mark.parametrize("kind", BOOSTING)
def test_native_file_holds_the_trees_that_were_used(tmp_path, binary, kind):
    x, y = binary
    params = {TREES[kind]: 200, "learning_rate": 0.5, "early_stopping_rounds": 5}
    answer = ask(
        request(
            tmp_path,
            kind,
            x,
            y,
            params,
            method="export",
            rows={"train": [[0, 400]], "stop": [[400, 500]], "predict": [[500, 600]]},
        )
    )
    trees = answer.done["iterations"]
    assert 1 < trees < 100
    if kind == "xgboost":
        model = xgboost.Booster(model_file=answer.out / "model.ubj")
        count, p = model.num_boosted_rounds(), model.inplace_predict(x[500:])
    elif kind == "lightgbm":
        model = lightgbm.Booster(model_file=answer.out / "model.txt")
        count, p = model.num_trees(), model.predict(x[500:])
    else:
        model = catboost.CatBoost().load_model(str(answer.out / "model.cbm"))
        count, p = model.tree_count_, model.predict(x[500:], prediction_type="Probability")[:, 1]
    assert count == trees
    assert np.array_equal(p.astype(np.float32), answer.columns()[:, 1])
    [ensemble] = [
        node for node in onnx.load(answer.out / "model.onnx").graph.node if node.op_type == "TreeEnsembleRegressor"
    ]
    ids = next(attribute.ints for attribute in ensemble.attribute if attribute.name == "nodes_treeids")
    assert len(set(ids)) == trees + (kind != "lightgbm")  # the bias is a tree of one leaf
    assert answer.done["metrics"]["parity"] <= 1e-6
    assert np.abs(answer.columns() - answer.columns("onnx_p")).max() == answer.done["metrics"]["parity"]
