"""Makes the ONNX files of this folder and `expected.json`: `python test/models/make.py`, with scikit-learn, lightgbm, skl2onnx, onnxmltools and onnx.

The models are fitted on seeded noise with a planted rule; what the fitted library answers for `rows` is the reference of the tests.
`refused/` holds graphs that break the contract of a served model, one rule each, made by the onnx package itself.
"""

import json
from pathlib import Path

import lightgbm
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
FEATURES = 4
WIDE = 24
OPSET = {"": 17, "ai.onnx.ml": 3}
update_registered_converter(
    lightgbm.LGBMClassifier,
    "LgbmClassifier",
    calculate_linear_classifier_output_shapes,
    convert_lightgbm,
    options={"zipmap": [True, False], "nocl": [True, False]},
)


def served(model, output: str, classes: int, features: int = FEATURES) -> onnx.ModelProto:
    """The fitted model as one graph: `features` (N, F) -> `output` (N, K), without labels and ZipMap."""
    options = {id(model): {"zipmap": False}} if output == "probability" else None
    graph = to_onnx(model, initial_types=[("features", FloatTensorType([None, features]))], options=options, target_opset=OPSET)
    kept = graph.graph.output[-1]
    for node in graph.graph.node:
        node.output[:] = [output if name == kept.name else name for name in node.output]
        node.input[:] = [output if name == kept.name else name for name in node.input]
    del graph.graph.output[:]
    graph.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, classes]))
    graph.graph.name = output
    onnx.checker.check_model(graph, full_check=True)
    return graph


def fitted():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(400, FEATURES)).astype(np.float32)
    score = x[:, 0] - x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=400)
    binary, three = (score > 0).astype(int), np.digitize(score, [-0.7, 0.7])
    gappy = np.where(rng.random(x.shape) < 0.15, np.nan, x).astype(np.float32)
    rows = x[:8].copy()
    gaps = gappy[:8].copy()
    gaps[0] = np.nan
    # Wide enough for a matrix kernel to round otherwise when a row comes alone.
    wide = rng.normal(size=(400, WIDE)).astype(np.float32)
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(wide, binary)
    trees = lightgbm.LGBMClassifier(n_estimators=8, num_leaves=6, verbose=-1, n_jobs=1).fit(gappy, binary)
    forest = make_pipeline(SimpleImputer(), RandomForestClassifier(6, max_depth=3, random_state=7)).fit(gappy, np.array(["down", "flat", "up"])[three])
    linear = LinearRegression().fit(x, score)
    yield "logistic", logistic, "probability", 2, wide[:8], logistic.predict_proba(wide[:8])
    yield "trees", trees, "probability", 2, gaps, trees.predict_proba(gaps)
    yield "multiclass", forest, "probability", 3, gaps, forest.predict_proba(gaps)
    yield "linear", linear, "prediction", 1, rows, linear.predict(rows)[:, None]


def graph_of(nodes, initializers=(), sparse=(), input_name="features", input_type=TensorProto.FLOAT, columns=FEATURES, output="probability", n="N"):
    return helper.make_graph(
        nodes,
        "refused",
        [helper.make_tensor_value_info(input_name, input_type, [n, columns])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [n, 2])],
        initializer=list(initializers),
        sparse_initializer=list(sparse),
    )


def model_of(graph, domains=("", "ai.onnx.ml"), functions=()):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(d, OPSET.get(d, 1)) for d in domains], functions=list(functions), ir_version=9)


def external(name: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[FEATURES, 2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../secret.bin")
    return tensor


def branch(tensor: TensorProto) -> onnx.GraphProto:
    return helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "branch", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [FEATURES, 2])])


def refused():
    weights = numpy_helper.from_array(np.ones((FEATURES, 2), np.float32), "w")
    ones = numpy_helper.from_array(np.ones(2, np.float32), "w_values")
    where = numpy_helper.from_array(np.array([[0, 0], [1, 1]], np.int64), "w_where")
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(np.ones(2, np.float32), "w"), where, [FEATURES, 2])
    matmul = helper.make_node("MatMul", ["features", "w"], ["probability"])
    yes = numpy_helper.from_array(np.array(True), "yes")
    choose = helper.make_node("If", ["yes"], ["w"], then_branch=branch(external("c")), else_branch=branch(weights))
    hidden = helper.make_function("", "Hidden", ["x"], ["y"], [helper.make_node("Constant", [], ["c"], value=external("c")), helper.make_node("MatMul", ["x", "c"], ["y"])], [helper.make_opsetid("", 17)])
    yield "external", model_of(graph_of([matmul], [external("w")]))
    yield "external_in_branch", model_of(graph_of([choose, matmul], [yes]))
    yield "external_in_function", model_of(graph_of([helper.make_node("Hidden", ["features"], ["probability"])]), functions=[hidden])
    yield "sparse", model_of(graph_of([matmul], sparse=[sparse]))
    yield "sparse_attribute", model_of(graph_of([helper.make_node("Constant", [], ["w"], sparse_value=helper.make_sparse_tensor(ones, where, [FEATURES, 2])), matmul]))
    yield "domain", model_of(graph_of([helper.make_node("Odd", ["features"], ["probability"], domain="com.example")]), ("", "com.example"))
    yield "domain_of_node", model_of(graph_of([helper.make_node("Odd", ["features"], ["probability"], domain="com.example")]))
    yield "input_name", model_of(graph_of([helper.make_node("MatMul", ["x", "w"], ["probability"])], [weights], input_name="x"))
    yield "output_name", model_of(graph_of([helper.make_node("MatMul", ["features", "w"], ["p"])], [weights], output="p"))
    yield "float64", model_of(graph_of([matmul], [weights], input_type=TensorProto.DOUBLE))
    yield "fixed_rows", model_of(graph_of([matmul], [weights], n=1))
    yield "open_columns", model_of(graph_of([matmul], [weights], columns="F"))
    labels = np.array([0, 1])
    yield "zipmap", to_onnx(LogisticRegression().fit(np.eye(FEATURES, dtype=np.float32)[:2], labels), initial_types=[("features", FloatTensorType([None, FEATURES]))], target_opset=OPSET)


def main() -> None:
    expected = {}
    for name, model, output, columns, rows, answer in fitted():
        graph = served(model, output, columns, rows.shape[1])
        (HERE / f"{name}.onnx").write_bytes(graph.SerializeToString(deterministic=True))
        expected[name] = {"rows": [[None if np.isnan(v) else float(v) for v in row] for row in rows], "answer": answer.tolist()}
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")
    (HERE / "refused").mkdir(exist_ok=True)
    for name, graph in refused():
        (HERE / "refused" / f"{name}.onnx").write_bytes(graph.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
