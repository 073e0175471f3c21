"""Forecasts: the next rows of a sequence are labels, gathered and of the same symbol; the rest is as of other networks."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import torch
from ask import ask, request, write
from networks import FAMILIES, FAST, SMALL, C, L, equal, stopped_after, weights

from sluice_engine import data, deep, export, fit, protocol
from sluice_engine.deep import fit as networks
from sluice_engine.deep.ahead import Ahead
from sluice_engine.deep.losses import loss_of
from sluice_engine.protocol import Failure

H = 6
OF = ["f3", "f1"]  # not in the order of the features
M, SPLIT = 400, 200  # rows, and the one that the second symbol begins with


def waves() -> np.ndarray:
    """(M, C) two symbols whose channels are waves of their own, in units far from 0 and 1."""
    rng, step = np.random.default_rng(5), np.arange(M)[:, None]
    rows = np.sin(step / np.array([3, 5, 7, 11, 4]) + rng.normal(size=C)) + 0.1 * rng.normal(size=(M, C))
    return (40 + (8 * np.arange(C) + 1) * rows).astype(np.float32)


def forecasting(folder: Path, kind: str, params: dict | None = None, rows: np.ndarray | None = None, **more) -> dict:
    """A request whose samples end with every row that has a window before it, also those with no horizon after them."""
    rows = waves() if rows is None else rows
    ends = np.concatenate([np.arange(L - 1, SPLIT), np.arange(SPLIT + L - 1, M)])
    params = FAST | SMALL[kind] | {"context": L} | (params or {})
    asked = request(folder, kind, rows[ends], np.zeros(len(ends)), params, task="regression", **more)
    write(Path(asked["dataset"]["path"]), {"at": ends.astype(np.uint32)})
    write(folder / "rows.arrow", {"features": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), C)})
    del asked["dataset"]["label"]
    asked["dataset"] |= {"task": "forecast", "forecast": {"horizon": H, "of": OF}}
    asked["dataset"]["sequence"] = {"path": str(folder / "rows.arrow"), "at": "at", "starts": [0, SPLIT]}
    asked["rows"] = {"train": [[0, 120]], "stop": [[180, 250]], "predict": [[160, len(ends)]]}
    return asked


def material_of(asked: dict) -> networks.Material:
    decoded = protocol.decode(msgspec.json.encode(asked))
    params = networks.parameters(decoded, deep.load(decoded.model.kind))
    rows = np.arange(120)
    return networks.gather(decoded, fit.Engine(), params, data.load_sequence(decoded.dataset), rows, rows)


def predictions(answer, prefix: str = "h") -> np.ndarray:
    """(N, H, K) in units."""
    columns = answer.columns(prefix)
    return columns.reshape(len(columns), H, len(OF))


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_graph_forecasts_as_its_network(tmp_path, kind):
    answer = ask(forecasting(tmp_path, kind, method="export"))
    assert answer.done["metrics"]["parity"] <= 1e-5
    table = pa.ipc.open_file(str(answer.out / "predictions.arrow")).read_all()
    assert table.column_names[:3] == ["h1_f3", "h1_f1", "h2_f3"] and table.num_columns == 2 * H * len(OF)
    session = export.session((answer.out / "model.onnx").read_bytes(), 1)
    (output,) = session.get_outputs()
    assert (output.name, output.type, output.shape) == ("prediction", "tensor(float)", ["N", H * len(OF)])
    assert session.get_inputs()[0].shape == ["N", L, C]
    assert np.abs(predictions(answer).mean(axis=(0, 1)) - [40, 40]).max() < 10  # in units, not scaled


def test_targets_are_the_scaled_rows_strictly_after_a_window(tmp_path):
    made = material_of(forecasting(tmp_path, "cnn"))
    rows, prepared = waves(), made.windows.rows.numpy()
    of = [3, 1]
    for sample in (0, 17, 119, 190):
        end = made.raw.ends[sample]
        y = made.y[torch.tensor([sample])].numpy().reshape(H, len(OF))
        assert np.array_equal(y, prepared[end + 1 : end + 1 + H, of])
        assert np.array_equal(made.windows.batch(torch.tensor([sample]))[0, -1].numpy(), prepared[end])
        assert np.allclose(y * made.y.scale + made.y.shift, rows[end + 1 : end + 1 + H, of], rtol=1e-5)


def test_targets_are_gathered_and_not_kept(tmp_path):
    made = material_of(forecasting(tmp_path, "cnn"))
    assert isinstance(made.y, Ahead) and made.y.rows is made.raw.features and not made.raw.features.flags.owndata


def test_no_forecast_and_no_window_reaches_into_another_symbol(tmp_path):
    made = material_of(forecasting(tmp_path, "cnn"))
    first = made.raw.ends < SPLIT
    assert np.array_equal(made.y.known, np.where(first, made.raw.ends + H < SPLIT, made.raw.ends + H < M))
    asked = forecasting(tmp_path, "cnn")
    asked["rows"]["train"] = [[0, 175]]
    with pytest.raises(Failure, match="sample 171 has 5 rows of its symbol after it, not 6"):
        ask(asked)
    asked["rows"]["train"] = [[340, 354]]
    with pytest.raises(Failure, match="sample 348 has 5 rows"):
        ask(asked)
    asked = forecasting(tmp_path, "cnn")
    asked["dataset"]["sequence"]["starts"] = [0, SPLIT + 1]
    with pytest.raises(Failure, match=f"ends with row {SPLIT + L - 1}, before which its symbol has no {L - 1}"):
        ask(asked)


def test_what_lies_behind_the_last_target_moves_nothing(tmp_path):
    """The last training sample is 119: its window ends with row 142, its targets with 148."""
    predicted = []
    for shift in (0.0, 50.0):
        folder = tmp_path / str(shift)
        folder.mkdir()
        rows = waves()
        rows[119 + L + H :] += shift
        asked = forecasting(folder, "cnn", rows=rows, digest=str(tmp_path))
        asked["rows"] = {"train": [[0, 120]], "predict": [[0, 120]]}
        predicted.append(predictions(ask(asked)))
    assert np.array_equal(*predicted)


def test_a_missing_value_is_no_target_and_no_error(tmp_path):
    rows = waves()
    rows[100, 3] = np.nan
    with pytest.raises(Failure, match="6 of the 120 samples have a missing value ahead"):
        ask(forecasting(tmp_path, "cnn", rows=rows))
    rows = waves()
    rows[100, 0] = np.nan  # read, but not forecast
    assert ask(forecasting(tmp_path, "cnn", rows=rows)).done["metrics"]["mse"] > 0


@pytest.mark.parametrize("name", ["mse", "mae", "quantile"])
def test_losses_are_means_over_horizon_and_channels(name):
    answer, y = torch.randn(50, H * 2), torch.randn(50, H * 2)
    over = (y - answer).numpy().astype(np.float64)
    wanted = {"mse": over**2, "mae": np.abs(over), "quantile": np.maximum(0.9 * over, -0.1 * over)}[name]
    losses = loss_of("forecast", H * 2, name, 0.9)(answer, y)
    assert losses.shape == (50,)
    assert np.allclose(losses.numpy(), wanted.mean(axis=1), rtol=1e-5)


def test_errors_are_those_of_numpy_in_scaled_units(tmp_path):
    answer = ask(forecasting(tmp_path, "cnn"))
    made, metrics = material_of(forecasting(tmp_path, "cnn")), answer.done["metrics"]
    rows, train = waves().astype(np.float64), slice(0, 119 + L + H)
    of = [3, 1]
    mean, deviation = rows[train][:, of].mean(axis=0), rows[train][:, of].std(axis=0)
    scaled = (rows[:, of] - mean) / deviation
    known = np.flatnonzero(made.y.known[160:])
    assert 0 < len(known) < len(made.y.known) - 160
    ends = made.raw.ends[160:][known]
    y = np.stack([scaled[end + 1 : end + 1 + H] for end in ends])
    wrong = (predictions(answer)[known] - mean) / deviation - y
    naive = scaled[ends][:, None] - y
    by_step = json.loads((answer.out / "errors.json").read_text())
    for prefix, difference in (("", wrong), ("naive_", naive)):
        assert metrics[f"{prefix}mse"] == pytest.approx((difference**2).mean(), rel=1e-5)
        assert metrics[f"{prefix}mae"] == pytest.approx(np.abs(difference).mean(), rel=1e-5)
        assert by_step[f"{prefix}mse"] == pytest.approx((difference**2).mean(axis=(0, 2)), rel=1e-5)
    assert metrics["naive_mse"] > 0


def test_without_anything_known_an_error_is_null(tmp_path):
    asked = forecasting(tmp_path, "cnn")
    asked["rows"]["predict"] = [[174, 177]]
    answer = ask(asked)
    assert answer.done["metrics"]["mse"] is None and len(predictions(answer)) == 3


def test_it_learns_waves_better_than_their_last_value(tmp_path):
    params = {"epochs": 60, "patience": 20, "d_model": 32, "ffn_dim": 64, "pooling_type": None, "batch_size": 16}
    metrics = ask(forecasting(tmp_path, "patchtst", params)).done["metrics"]
    assert metrics["mse"] < 0.5 * metrics["naive_mse"]


@pytest.mark.parametrize("kind", ["mlp", "patchtst"])
def test_what_was_stopped_goes_on_to_the_same_forecasts(tmp_path, kind):
    params = {"epochs": 4} | ({"ff_dropout": 0.3, "pooling_type": None} if kind == "patchtst" else {"dropout": 0.3})
    for name in ("whole", "parts"):
        (tmp_path / name / "kept").mkdir(parents=True)
    whole = ask(forecasting(tmp_path / "whole", kind, params))
    asked = forecasting(tmp_path / "parts", kind, params, digest=str(tmp_path / "whole"))
    asked["checkpoints"] = str(tmp_path / "parts" / "kept")
    stopped_after(7, asked)
    answer = ask(asked)
    assert [event["code"] for event in answer.events if event["event"] == "warning"] == ["RESUMED"]
    assert equal(weights(whole.out), weights(answer.out))
    assert np.array_equal(predictions(whole), predictions(answer))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"forecast": {"horizon": H, "of": ["f9"]}}, "features that hold numbers"),
        ({"forecast": {"horizon": H, "of": ["f1", "f1"]}}, "features that hold numbers"),
        ({"categories": {"f1": 3}}, "features that hold numbers"),
        ({"forecast": None}, "needs a forecast"),
        ({"label": "label"}, "no label"),
        ({"classes": [0.0, 1.0]}, "does not go with classes"),
    ],
)
def test_what_is_no_forecast(tmp_path, change, reason):
    asked = forecasting(tmp_path, "mlp")
    asked["dataset"] |= change
    with pytest.raises(Failure, match=reason):
        ask(asked)


def test_starts_rise_from_0_within_the_rows(tmp_path):
    asked = forecasting(tmp_path, "mlp")
    wrong = {"rise from 0": [[], [3], [0, 9, 9], [0, 9, 5]], "begins with row 400": [[0, M]]}
    for starts, reason in ((starts, reason) for reason, lists in wrong.items() for starts in lists):
        asked["dataset"]["sequence"]["starts"] = starts
        with pytest.raises(Failure, match=reason):
            ask(asked)


def test_only_networks_forecast(tmp_path):
    asked = forecasting(tmp_path, "mlp")
    asked["model"] |= {"kind": "xgboost", "params": {}}
    with pytest.raises(Failure, match="only networks forecast"):
        ask(asked)
