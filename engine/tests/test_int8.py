"""PatchTST in 8 bits: what it answers, what that costs, and that a row's answer is its own."""

from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from ask import ask
from networks import equal, sequenced, weights
from onnx import numpy_helper
from sklearn.metrics import log_loss, mean_squared_error

from sluice_engine.deep import int8
from sluice_engine.deep.losses import mse
from sluice_engine.deep.windows import Samples, Windows

WIDE = {"d_model": 48, "ffn_dim": 96, "int8": True}
STOPPED = [[240, 300]]


def answer(folder: Path, task: str = "binary", params: dict | None = None, rows: dict | None = None, method: str = "export"):
    folder.mkdir(exist_ok=True)
    asked = sequenced(folder, "patchtst", WIDE | (params or {}), task, method=method)
    asked["rows"] |= rows or {}
    return ask(asked)


def labels(folder: Path) -> np.ndarray:
    return pa.ipc.open_file(folder / "dataset.arrow").read_all()["label"].to_numpy()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_graph_is_in_integers_of_onnx_alone_and_answers_as_it_was_judged(tmp_path, task):
    small, exact = (answer(tmp_path / str(bits), task, {"int8": bits}) for bits in (True, False))
    graph = onnx.load(small.out / "model.onnx").graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("MatMulInteger") >= 10 and {node.domain for node in graph.node} == {""}
    assert (small.out / "model.onnx").stat().st_size < 0.6 * (exact.out / "model.onnx").stat().st_size
    assert small.done["metrics"]["parity"] <= 1e-6
    assert equal(weights(small.out), weights(exact.out))
    apart = np.abs(small.columns() - exact.columns()) / exact.columns().std(axis=0)
    assert 0 < apart.max() < 0.5 and apart.mean() < 0.05
    assert "int8_loss" not in exact.done["metrics"]


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_the_losses_are_those_of_the_predictions(tmp_path, task):
    rows = {"predict": STOPPED}
    small, exact = (answer(tmp_path / str(bits), task, {"int8": bits}, rows, "fit") for bits in (True, False))
    y = labels(tmp_path / "True")
    before, after = (loss(task, y[240:300], made.columns(), y[:240]) for made in (exact, small))
    metrics = small.done["metrics"]
    assert [metrics["float32_loss"], metrics["int8_loss"]] == pytest.approx([before, after], rel=1e-5)
    assert metrics["int8_loss_change"] == pytest.approx(after / before - 1, abs=2e-5)


def loss(task: str, y: np.ndarray, answers: np.ndarray, learned: np.ndarray) -> float:
    """Of numbers in units of the deviation of training labels."""
    if task == "regression":
        return mean_squared_error(y, answers[:, 0]) / learned.var()
    return log_loss(y, answers, labels=[0, 1, 2])


def test_without_stop_rows_those_that_it_learned_from_judge_it(tmp_path):
    whole = answer(tmp_path / "a", rows={"stop": []}, method="fit")
    same = answer(tmp_path / "b", rows={"stop": [[0, 240]]}, method="fit")
    names = ("float32_loss", "int8_loss")
    assert [whole.done["metrics"][name] for name in names] == [same.done["metrics"][name] for name in names]


def test_a_row_is_answered_alike_alone_and_in_any_company(tmp_path):
    whole = answer(tmp_path / "a", rows={"predict": [[300, 354]]}).columns()
    parts = [answer(tmp_path / str(i), rows={"predict": [[300 + i, 301 + i], [340, 354]]}) for i in range(3)]
    for i, part in enumerate(parts):
        assert np.array_equal(part.columns(), whole[[i, *range(40, 54)]])


def test_equal_seeds_give_equal_bytes_and_an_export_what_its_fit_predicted(tmp_path):
    one, two = (answer(tmp_path / name) for name in "ab")
    assert (one.out / "model.onnx").read_bytes() == (two.out / "model.onnx").read_bytes()
    assert np.array_equal(one.columns(), answer(tmp_path / "c", method="fit").columns())


def test_a_loss_of_zero_is_a_change_of_none_or_no_figure():
    samples = Samples(Windows(torch.zeros(3, 1), torch.arange(3), 1), torch.zeros(3), None)
    right, wrong = torch.zeros_like, torch.ones_like
    cost = lambda *answers: int8.cost(*(lambda x, of=of: of(x[:, 0]) for of in answers), mse, samples)  # noqa: E731
    costs = [cost(right, right), cost(right, wrong), cost(wrong, right)]
    assert [each["int8_loss_change"] for each in costs] == [0, None, -1]


def test_weights_leave_room_for_sums_of_pairs_in_16_bits(tmp_path):
    graph = onnx.load(answer(tmp_path / "a").out / "model.onnx").graph
    small = [numpy_helper.to_array(of) for of in graph.initializer if of.data_type == onnx.TensorProto.INT8 and len(of.dims) == 2]
    assert small and max(np.abs(values.astype(int)).max() for values in small) * 255 * 2 < 2**15
