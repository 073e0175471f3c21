"""Networks: shapes, windows, training that is exact, and graphs that answer as the network does."""

import json
import threading
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import torch
from ask import ask, request, write
from networks import FAMILIES, FAST, SEQUENCES, SMALL, C, L, equal, sequenced, weights

from sluice_engine import data, deep, export, fit, protocol
from sluice_engine.deep import fit as networks
from sluice_engine.deep import measure, windows
from sluice_engine.deep.losses import loss_of
from sluice_engine.deep.windows import Samples, Windows
from sluice_engine.protocol import Failure


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_forward_gives_outputs_of_any_batch(kind, outputs):
    family = deep.load(kind)
    network = family.network(deep.TRAINING | family.DEFAULTS | SMALL[kind], C, L, outputs).eval()
    for rows in (1, 3):
        assert network(torch.zeros(rows, L, C)).shape == (rows, outputs)


def test_attention_is_torchs_own_which_picks_the_kernel(monkeypatch):
    own, calls = torch.nn.functional.scaled_dot_product_attention, []
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *args, **more: (calls.append(1), own(*args, **more))[1]
    )
    family = deep.load("patchtst")
    family.network(deep.TRAINING | family.DEFAULTS | SMALL["patchtst"], C, L, 2)(torch.zeros(3, L, C)).sum().backward()
    assert len(calls) == SMALL["patchtst"]["num_hidden_layers"]


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_a_short_window_is_pooled_no_further(length):
    family = deep.load("cnn_lstm")
    params = deep.TRAINING | family.DEFAULTS | {"filters": [4, 4, 4], "pool": 2}
    assert family.network(params, C, length, 1)(torch.zeros(2, length, C)).shape == (2, 1)


@pytest.mark.parametrize(
    ("sizes", "count"),
    [((192, 4, 6, 896), 1_987_522), ((576, 5, 9, 2304), 19_976_834), ((1024, 16, 16, 4032), 199_499_778)],
)
def test_parameters_are_counted_exactly_and_without_memory(sizes, count):
    names = ("d_model", "num_hidden_layers", "num_attention_heads", "ffn_dim")
    model = {"kind": "patchtst", "params": dict(zip(names, sizes, strict=True))}
    asked = {"id": "1", "method": "parameters", "model": model, "channels": 20, "task": "binary"}
    assert measure.run(protocol.decode(msgspec.json.encode(asked)), threading.Event()) == {"parameters": count}


def test_parameters_of_a_known_network():
    model = {"kind": "mlp", "params": {"hidden": [3], "context": 2}}
    asked = {"id": "1", "method": "parameters", "model": model, "channels": 4, "task": "regression"}
    counted = measure.run(protocol.decode(msgspec.json.encode(asked)), threading.Event())
    assert counted["parameters"] == (8 * 3 + 3) + (3 + 1)


def test_parameters_of_a_network_that_forecasts():
    def count(kind, params):
        asked = {"id": "1", "method": "parameters", "channels": 4, "task": "forecast", "horizon": 5}
        asked["model"] = {"kind": kind, "params": params}
        return measure.run(protocol.decode(msgspec.json.encode(asked)), threading.Event())["parameters"]

    assert count("mlp", {"hidden": [3], "context": 2}) == (8 * 3 + 3) + (3 * 20 + 20)
    # the head of each channel reads 14 patches of 64 values, or their mean
    assert count("patchtst", {"pooling_type": None}) == count("patchtst", {}) + 13 * 64 * 5


def test_the_largest_batch_is_a_power_of_two_within_the_limit():
    model = {"kind": "mlp", "params": {"hidden": [512], "context": 64}}
    limit = measure.resident() / measure.MB + 60
    asked = {"id": "1", "method": "batch_size", "model": model, "channels": 64, "task": "binary", "memory_mb": limit}
    found = measure.run(protocol.decode(msgspec.json.encode(asked)), threading.Event())
    assert found["batch_size"] >= 8 and found["batch_size"] & (found["batch_size"] - 1) == 0
    assert not found["tried"][-1]["fits"]
    assert all(one["memory_mb"] <= limit for one in found["tried"] if one["fits"])


def test_windows_are_views_of_the_rows_that_lie_before():
    rows = torch.arange(30.0).reshape(10, 3)
    made = Windows(rows, torch.tensor([3, 9]), 4)
    assert torch.equal(made.batch(torch.tensor([1, 0])), torch.stack([rows[6:10], rows[0:4]]))
    views = rows.unfold(0, 4, 1)
    assert views.untyped_storage().data_ptr() == rows.untyped_storage().data_ptr()


def test_covered_are_the_rows_that_some_window_reads():
    assert windows.covered(8, np.array([2, 6]), 2).nonzero()[0].tolist() == [1, 2, 5, 6]


def test_every_epoch_is_a_whole_permutation_by_seed():
    first = windows.order(100, 7, 0)
    assert torch.equal(first, windows.order(100, 7, 0))
    assert sorted(first.tolist()) == list(range(100))
    assert not torch.equal(first, windows.order(100, 7, 1))
    assert not torch.equal(first, windows.order(100, 8, 0))


def test_prefetched_batches_are_those_asked_for_and_an_error_is_shown():
    samples = Samples(Windows(torch.arange(20.0).reshape(10, 2), torch.arange(10), 1), torch.arange(10), None)
    numbers = list(torch.arange(10).split(3))
    for (x, y, _), own in zip(windows.prefetched(samples, numbers, False), numbers, strict=True):
        assert torch.equal(y, own) and torch.equal(x[:, 0, 0], 2.0 * own)
    with pytest.raises(IndexError):
        list(windows.prefetched(samples, [torch.tensor([10])], False))


def test_losses_are_the_libraries():
    answer, y = torch.randn(50, 1), torch.randn(50)
    from sklearn.metrics import log_loss, mean_absolute_error, mean_pinball_loss, mean_squared_error

    for name, peer in [
        (None, mean_squared_error),
        ("mae", mean_absolute_error),
        ("quantile", lambda a, b: mean_pinball_loss(a, b, alpha=0.9)),
    ]:
        assert float(loss_of("regression", 1, name, 0.9)(answer, y).mean()) == pytest.approx(peer(y, answer[:, 0]), rel=1e-5)
    truth = (y > 0).long()
    wanted = log_loss(truth, torch.sigmoid(answer[:, 0]))
    assert float(loss_of("binary", 1, None, 0.5)(answer, truth).mean()) == pytest.approx(wanted, rel=1e-5)
    both = torch.cat([torch.zeros_like(answer), answer], 1)
    assert float(loss_of("binary", 2, None, 0.5)(both, truth).mean()) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_graph_answers_as_its_network(tmp_path, kind, task):
    answer = ask(sequenced(tmp_path, kind, task=task, method="export"))
    assert answer.done["metrics"]["parity"] <= 1e-5
    assert {file["name"] for file in answer.done["artefacts"]} == {
        "history.json",
        "model.onnx",
        "model.safetensors",
        "predictions.arrow",
    }
    columns = answer.columns("p")
    if task != "regression":
        assert np.allclose(columns.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_answer_does_not_depend_on_the_rows_beside_it(tmp_path, kind):
    asked = sequenced(tmp_path, kind)
    asked["rows"] = {"train": [[0, 200]], "predict": [[200, 333]]}
    first = ask(asked).columns("prediction")
    asked["rows"]["predict"] = [[200, 354]]
    assert np.array_equal(ask(asked).columns("prediction")[:133], first)


def test_a_graph_takes_any_number_of_rows_and_each_by_itself(tmp_path):
    answer = ask(sequenced(tmp_path, "cnn_gru", task="binary", method="export"))
    session = export.session((answer.out / "model.onnx").read_bytes(), 1)
    shape = session.get_inputs()[0].shape
    assert shape == ["N", L, C]
    x = np.random.default_rng(0).normal(size=(9, L, C)).astype(np.float32)
    whole = session.run(None, {"features": x})[0]
    for i in range(9):
        assert np.abs(session.run(None, {"features": x[i : i + 1]})[0] - whole[i]).max() < 1e-6


def test_a_graph_of_which_nothing_is_asked_has_no_parity(tmp_path):
    asked = sequenced(tmp_path, "mlp", method="export")
    asked["rows"]["predict"] = []
    assert ask(asked).done["metrics"]["parity"] is None


def test_graphs_of_equal_networks_are_equal_bytes(tmp_path):
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        asked = sequenced(tmp_path / name, "cnn", task="binary", method="export")
        digests.append({file["name"]: file["sha256"] for file in ask(asked).done["artefacts"]})
    assert digests[0]["model.onnx"] == digests[1]["model.onnx"]
    assert digests[0]["predictions.arrow"] == digests[1]["predictions.arrow"]


def test_rows_of_a_table_with_categories_and_missing_values(tmp_path, data):
    x, score = data
    x = np.column_stack([x, np.random.default_rng(1).integers(0, 4, len(x))]).astype(np.float32)
    x[::9, 1] = np.nan
    y = (score + (x[:, 6] == 2) > 0.5) * 1.0
    params = {"epochs": 15, "learning_rate": 0.02, "patience": None}
    for encode in ("one_hot", "ordinal", "target"):
        folder = tmp_path / encode
        folder.mkdir()
        prepare = {"categories": {"encode": encode}}
        asked = request(folder, "mlp", x, y, params, method="export", categories={"f6": 3}, prepare=prepare)
        done = ask(asked)
        assert done.done["metrics"]["parity"] <= 1e-5
        assert np.mean((done.columns()[:, 1] > 0.5) == y) > 0.75


@pytest.mark.parametrize("kind", SEQUENCES)
def test_it_learns_what_only_earlier_rows_tell(tmp_path, kind):
    more = {"epochs": 40, "learning_rate": 0.01, "patience": 10, "batch_size": 16}
    sizes = {"hidden": 24} if "rnn" in kind or "cnn_" in kind else {}
    if kind == "patchtst":
        sizes = {"d_model": 32, "ffn_dim": 64, "scaling": "none"}
    asked = sequenced(tmp_path, kind, more | sizes)
    answer = ask(asked)
    history = json.loads((answer.out / "history.json").read_text())
    losses = [epoch["train_loss"] for epoch in history["epochs"]]
    assert losses[0] > 0.6  # of labels of deviation 1
    assert min(losses) < 0.6 * losses[0]
    best = min(history["epochs"], key=lambda epoch: epoch["stop_loss"])
    assert answer.done["iterations"] == best["epoch"]
    assert answer.done["metrics"]["stop_loss"] == best["stop_loss"]


def test_the_best_weights_are_kept_and_patience_ends_it(tmp_path):
    answer = ask(sequenced(tmp_path, "mlp", {"epochs": 60, "learning_rate": 0.05, "patience": 3, "hidden": [64]}))
    history = json.loads((answer.out / "history.json").read_text())["epochs"]
    assert len(history) == answer.done["iterations"] + 3 < 60


def test_fixed_epochs_go_the_same_way(tmp_path):
    """What a refit does: the schedule is that of all epochs, and it ends where the first fit was best."""
    long = sequenced(tmp_path, "mlp", {"epochs": 12})
    ask(long)
    first = json.loads((tmp_path / "out" / "history.json").read_text())["epochs"]
    (tmp_path / "again").mkdir()
    again = ask(sequenced(tmp_path / "again", "mlp", {"epochs": 12}, iterations=4))
    second = json.loads((again.out / "history.json").read_text())["epochs"]
    assert [epoch["train_loss"] for epoch in second] == [epoch["train_loss"] for epoch in first[:4]]
    assert again.done["iterations"] == 4


def test_the_labels_scale_is_undone(tmp_path):
    asked = sequenced(tmp_path, "mlp", {"epochs": 30})
    predicted = ask(asked).columns("prediction")[:, 0]
    assert 5 < predicted.mean() < 9


def test_accumulated_parts_have_the_gradient_of_the_whole(tmp_path):
    found = []
    for parts in (1, 4):
        folder = tmp_path / str(parts)
        folder.mkdir()
        ask(sequenced(folder, "mlp", {"accumulate": parts, "dropout": 0.0}))
        found.append(weights(folder / "out"))
    for name, tensor in found[0].items():
        assert torch.allclose(tensor, found[1][name], atol=1e-5)


def test_class_weights_draw_the_answers_to_the_middle(tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 2)).astype(np.float32)
    y = (x[:, 0] + 2 * rng.normal(size=400) > 2.5) * 1.0
    means = []
    for weight in (None, "balanced"):
        folder = tmp_path / str(weight)
        folder.mkdir()
        params = FAST | {"class_weight": weight, "epochs": 10}
        means.append(ask(request(folder, "mlp", x, y, params)).columns()[:, 1].mean())
    assert means[0] == pytest.approx(y.mean(), abs=0.05)
    assert means[1] > means[0] + 0.1


@pytest.mark.parametrize("schedule", ["one_cycle", "plateau", "constant"])
def test_the_learning_rate_is_that_of_its_schedule(tmp_path, schedule):
    answer = ask(sequenced(tmp_path, "mlp", {"schedule": schedule, "epochs": 30, "batch_size": 64, "learning_rate": 0.03}))
    rates = [epoch["learning_rate"] for epoch in json.loads((answer.out / "history.json").read_text())["epochs"]]
    if schedule == "constant":
        assert set(rates) == {0.03}
    elif schedule == "plateau":
        assert rates[0] == 0.03 and sorted(rates, reverse=True) == rates and rates[-1] < 0.03
    else:
        assert max(rates) > 0.028 and rates[-1] < rates[0] < 0.03


def test_an_export_of_a_trained_network_trains_nothing(tmp_path):
    first = sequenced(tmp_path, "cnn_gru", task="binary")
    ask(first)
    (tmp_path / "export").mkdir()
    asked = first | {"method": "export", "out": str(tmp_path / "export"), "weights": str(tmp_path / "out" / "model.safetensors")}
    answer = ask(asked)
    assert not [event for event in answer.events if event["event"] == "progress"]
    assert equal(weights(tmp_path / "out"), weights(tmp_path / "export"))
    assert answer.done["metrics"]["parity"] <= 1e-5
    asked["model"] = asked["model"] | {"seed": 8}
    with pytest.raises(Failure, match="another training"):
        ask(asked)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"params": {"d_modle": 3}}, "UNKNOWN_PARAM"),
        ({"params": {"epochs": "many"}}, "BAD_PARAM"),
        ({"params": {"class_weight": "balanced"}}, "BAD_PARAM"),
        ({"params": {"num_attention_heads": 3}}, "FIT_FAILED"),
        ({"params": {"context": 25}}, "BAD_REQUEST"),
        ({"params": {"precision": "float16"}}, "BAD_PARAM"),
        ({"params": {"schedule": "cosine"}}, "BAD_PARAM"),
        ({"params": {"loss": "huber"}}, "BAD_PARAM"),
        ({"params": {"learning_rate": 1e6, "clip_norm": None, "epochs": 30}}, "DIVERGED"),
    ],
)
def test_what_is_refused(tmp_path, change, code):
    kind = "mlp" if code == "DIVERGED" else "patchtst"
    with pytest.raises(Failure) as refused:
        ask(sequenced(tmp_path, kind, change["params"]))
    assert refused.value.code == code


@pytest.mark.parametrize("which", ["out", "checkpoints"])
def test_a_folder_that_is_not_there_is_refused_before_anything_is_trained(tmp_path, which):
    with pytest.raises(Failure, match="is no folder") as refused:
        ask(sequenced(tmp_path, "mlp") | {which: str(tmp_path / "none")})
    assert refused.value.code == "BAD_REQUEST"


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_row_that_stops_a_training_must_have_a_label(tmp_path, task):
    asked = sequenced(tmp_path, "mlp", {"patience": 2}, task=task)
    path = Path(asked["dataset"]["path"])
    table = pa.ipc.open_file(path).read_all()
    columns = {name: table[name].to_numpy().copy() for name in table.column_names}
    columns["label"][250] = np.nan
    write(path, columns)
    with pytest.raises(Failure) as refused:
        ask(asked)
    assert refused.value.code == "NOT_FINITE"


def test_a_device_that_is_not_there_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(Failure, match="no cuda here"):
        ask(sequenced(tmp_path, "mlp", {"device": "cuda"}))


def test_a_sample_that_reaches_beyond_the_rows_is_refused(tmp_path):
    asked = sequenced(tmp_path, "cnn")
    table = pa.ipc.open_file(asked["dataset"]["path"]).read_all()
    at = table["at"].to_numpy().copy()
    at[5] = 4000
    columns = {name: table[name] for name in table.column_names} | {"at": at}
    write(Path(asked["dataset"]["path"]), columns)
    with pytest.raises(Failure, match="ends with row 4000"):
        ask(asked)


def test_scaling_is_told_by_the_rows_of_training_windows_alone(tmp_path):
    """What lies behind the last training row moves nothing."""
    predicted = []
    for shift in (0.0, 50.0):
        folder = tmp_path / str(shift)
        folder.mkdir()
        asked = sequenced(folder, "cnn", digest=str(tmp_path))
        asked["rows"] = {"train": [[0, 100]], "predict": [[0, 100]]}
        path = asked["dataset"]["sequence"]["path"]
        rows = pa.ipc.open_file(path).read_all()["features"].chunk(0).values.to_numpy().reshape(-1, C).copy()
        rows[L - 1 + 100 :] += shift
        write(Path(path), {"features": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), C)})
        predicted.append(ask(asked).columns("prediction"))
    assert np.array_equal(*predicted)


def test_the_loop_itself_costs_little(tmp_path):
    """What is neither forward, backward nor optimizer, of a network that computes: the bench has the figure for 2M."""
    answer = ask(sequenced(tmp_path, "cnn_lstm", {"hidden": 128, "epochs": 4}))
    took = answer.done["metrics"]
    assert took["other_seconds"] < 0.2 * took["step_seconds"]


def test_a_few_steps_of_two_million_parameters_and_their_graph(tmp_path):
    rng = np.random.default_rng(3)
    rows, ends = rng.normal(size=(170, 20)).astype(np.float32), np.arange(119, 170)
    sizes = {"d_model": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "ffn_dim": 896, "threads": 1}
    params = FAST | sizes | {"batch_size": 8, "epochs": 1, "learning_rate": 0.001}
    asked = request(tmp_path, "patchtst", rows[ends], (rows[ends, 0] > 0) * 1.0, params, task="binary", method="export")
    table = {f"f{i}": rows[ends, i] for i in range(20)} | {"label": (rows[ends, 0] > 0) * 1.0}
    write(Path(asked["dataset"]["path"]), table | {"at": ends.astype(np.uint32)})
    write(tmp_path / "rows.arrow", {"features": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 20)})
    asked["dataset"]["sequence"] = {"path": str(tmp_path / "rows.arrow"), "at": "at"}
    asked["rows"] = {"train": [[0, 40]], "stop": [], "predict": [[40, 51]]}
    made = ask(asked)
    history = json.loads((made.out / "history.json").read_text())
    assert made.done["metrics"]["parameters"] == 1_987_522
    assert len(history["steps"]) == 5 and all(np.isfinite(step["loss"]) for step in history["steps"])
    assert made.done["metrics"]["parity"] <= 1e-5 and made.columns("p").shape == (11, 2)


def test_the_rows_of_a_sequence_are_mapped(tmp_path):
    asked = protocol.decode(msgspec.json.encode(sequenced(tmp_path, "cnn")))
    raw = data.load_sequence(asked.dataset)
    assert raw.features.shape == (400, C) and not raw.features.flags.owndata
    params = networks.parameters(asked, deep.load("cnn"))
    material = networks.gather(asked, fit.Engine(), params, raw, np.arange(240), np.arange(300))
    assert material.windows.rows.shape == (400, C)
    assert not torch.isnan(material.windows.rows).any()
