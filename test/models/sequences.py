"""Makes the sequence graphs of this folder and `sequences.json`: `python test/models/sequences.py`, with numpy, onnx and onnxruntime.

Each is `features` float32 [N, L, C] to `probability` or `prediction`, with seeded weights and the operators that such models are exported to; what onnxruntime answers for `sequences`, several at once or, of a quantized one, each by itself, is the reference of the tests.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
ROWS = 8


class Graph:
    """Nodes and weights under names of their own."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def constant(self, value) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant((self.rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32))

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes) -> str:
        names = [f"x{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[-1]

    def linear(self, x: str, before: int, after: int) -> str:
        return self.node("Add", self.node("MatMul", x, self.weight(before, after)), self.weight(after))

    def prepared(self, features: int) -> str:
        """Missing values imputed, then scaled: what stands in front of every network."""
        filled = self.node("Where", self.node("IsNaN", "features"), self.weight(features), "features")
        return self.node("Mul", self.node("Sub", filled, self.weight(features)), self.constant(self.rng.uniform(0.5, 2, features).astype(np.float32)))

    def model(self, length: int, features: int, output: str, columns: int, last: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Softmax", [last], [output], axis=-1) if output == "probability" else helper.make_node("Identity", [last], [output]))
        graph = helper.make_graph(
            self.nodes,
            output,
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", length, features])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", columns])],
            initializer=self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model


def recurrent(operator: str, gates: int, seed: int, length: int, features: int, hidden: int, output: str, columns: int):
    """A recurrent layer over time; its last hidden state is read. Biases are of both its sides."""
    graph = Graph(seed)
    steps = graph.node("Transpose", graph.prepared(features), perm=[1, 0, 2])
    weights = graph.weight(1, gates * hidden, features), graph.weight(1, gates * hidden, hidden), graph.weight(1, 2 * gates * hidden)
    extra = {"linear_before_reset": 1} if operator == "GRU" else {}
    state = graph.node(operator, steps, *weights, outputs=2, hidden_size=hidden, **extra)
    last = graph.node("Squeeze", state, graph.constant(np.array([0], np.int64)))
    return graph.model(length, features, output, columns, graph.linear(last, hidden, columns))


def normed(graph: Graph, x: str) -> str:
    """Written out: its means run over a width that is no multiple of four, which onnxruntime rounds by a row's place in memory."""
    centred = graph.node("Sub", x, graph.node("ReduceMean", x, axes=[-1]))
    variance = graph.node("ReduceMean", graph.node("Mul", centred, centred), axes=[-1])
    return graph.node("Div", centred, graph.node("Sqrt", graph.node("Add", variance, graph.constant(np.float32(1e-5)))))


def attention(seed: int, length: int, features: int, width: int, output: str, columns: int):
    """An encoder layer: places, attention, a gated feed-forward with the error function, and the mean over time."""
    graph = Graph(seed)
    x = graph.node("Add", graph.linear(graph.prepared(features), features, width), graph.weight(length, width))
    query, key, value = (graph.linear(x, width, width) for _ in range(3))
    scores = graph.node("MatMul", query, graph.node("Transpose", key, perm=[0, 2, 1]))
    weights = graph.node("Softmax", graph.node("Mul", scores, graph.constant(np.float32(width**-0.5))), axis=-1)
    x = normed(graph, graph.node("Add", x, graph.node("MatMul", weights, value)))
    inner = graph.linear(x, width, 2 * width)
    error = graph.node("Erf", graph.node("Mul", inner, graph.constant(np.float32(0.5**0.5))))
    gelu = graph.node("Mul", graph.node("Mul", inner, graph.node("Add", error, graph.constant(np.float32(1)))), graph.constant(np.float32(0.5)))
    x = normed(graph, graph.node("Add", x, graph.linear(gelu, 2 * width, width)))
    return graph.model(length, features, output, columns, graph.linear(graph.node("ReduceMean", x, axes=[1], keepdims=0), width, columns))


def convolution(seed: int, length: int, features: int, width: int, output: str, columns: int):
    """Two causal convolutions over time, the second with a smooth activation, which onnxruntime evaluates four values at a time, and the mean and the largest over time."""
    graph = Graph(seed)
    x = graph.node("Transpose", graph.prepared(features), perm=[0, 2, 1])
    x = graph.node("Relu", graph.node("Conv", x, graph.weight(width, features, 3), graph.weight(width), pads=[2, 0]))
    x = graph.node("Softplus", graph.node("Conv", x, graph.weight(width, width, 3), graph.weight(width), pads=[2, 0]))
    pooled = graph.node("Concat", graph.node("GlobalAveragePool", x), graph.node("GlobalMaxPool", x), axis=1)
    flat = graph.node("Flatten", pooled, axis=1)
    return graph.model(length, features, output, columns, graph.linear(flat, 2 * width, columns))


def quantized(seed: int, length: int, features: int, width: int, output: str, columns: int):
    """A dense layer in 8 bits, whose input is scaled by the range of all rows of a run."""
    graph = Graph(seed)
    flat = graph.node("Flatten", graph.prepared(features), axis=1)
    zero = graph.node("DynamicQuantizeLinear", flat, outputs=3)
    whole, scale = zero[:-1] + "0", zero[:-1] + "1"
    weights = graph.constant(graph.rng.integers(-63, 64, (length * features, width)).astype(np.int8))
    product = graph.node("Cast", graph.node("MatMulInteger", whole, weights, zero), to=TensorProto.FLOAT)
    x = graph.node("Relu", graph.node("Mul", product, graph.node("Mul", scale, graph.constant(np.float32(0.02)))))
    return graph.model(length, features, output, columns, graph.linear(x, width, columns))


def models():
    yield "gru", recurrent("GRU", 3, 1, 6, 3, 9, "probability", 2), 6, 3
    yield "lstm", recurrent("LSTM", 4, 2, 5, 4, 7, "prediction", 1), 5, 4
    yield "attention", attention(3, 7, 3, 10, "probability", 3), 7, 3
    yield "convolution", convolution(4, 9, 2, 5, "probability", 2), 9, 2
    yield "quantized", quantized(5, 6, 3, 9, "prediction", 1), 6, 3


def refused():
    """Shapes that are no sequence."""
    for name, shape in {"one_step": ["N", 1, 3], "open_length": ["N", "L", 3], "open_width": ["N", 4, "C"], "fixed_sequences": [8, 4, 3], "four_dimensions": ["N", 2, 4, 3]}.items():
        mean = helper.make_node("ReduceMean", ["features"], ["prediction"], axes=list(range(1, len(shape))), keepdims=1)
        flat = helper.make_node("Flatten", ["prediction"], ["flat"], axis=1)
        mean.output[0], flat.input[0], flat.output[0] = "mean", "mean", "prediction"
        ports = [helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)], [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["N", 1])]
        yield name, helper.make_model(helper.make_graph([mean, flat], "refused", *ports), opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def main() -> None:
    expected = {}
    for name, model, length, features in models():
        data = model.SerializeToString(deterministic=True)
        (HERE / f"{name}.onnx").write_bytes(data)
        rng = np.random.default_rng(7)
        x = rng.normal(size=(ROWS, length, features)).astype(np.float32)
        x[rng.random(x.shape) < 0.1] = np.nan
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        runs = x[:, None] if name == "quantized" else [x]
        answer = np.concatenate([session.run(None, {"features": rows})[0] for rows in runs])
        cells = [[[None if np.isnan(v) else float(v) for v in row] for row in sequence] for sequence in x]
        expected[name] = {"sequences": cells, "answer": answer.tolist()}
    (HERE / "sequences.json").write_text(json.dumps(expected) + "\n")
    for name, model in refused():
        (HERE / "refused" / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
