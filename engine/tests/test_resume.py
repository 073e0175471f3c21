"""Trainings that are stopped or killed, in one process and in two, go on to the weights that they would have had."""

import json
import os
import signal
import subprocess
import time

import pytest
import torch
from ask import Process, ask
from networks import equal, sequenced, stopped_after, weights

from sluice_engine.deep import checkpoint
from sluice_engine.protocol import Failure


@pytest.mark.parametrize("kind", ["cnn", "cnn_lstm", "patchtst"])
@pytest.mark.parametrize("steps", [2, 9, 17])
@pytest.mark.parametrize("schedule", ["one_cycle", "plateau"])
def test_what_was_stopped_goes_on_to_the_same_weights(tmp_path, kind, steps, schedule):
    params = {"schedule": schedule, "patience": 50, "dropout": 0.3} if kind != "patchtst" else {"schedule": schedule}
    for name in ("whole", "parts"):
        (tmp_path / name / "kept").mkdir(parents=True)
    ask(sequenced(tmp_path / "whole", kind, params))
    asked = sequenced(tmp_path / "parts", kind, params, digest=str(tmp_path / "whole"))
    asked["checkpoints"] = str(tmp_path / "parts" / "kept")
    events = stopped_after(steps, asked)
    assert [event["event"] for event in events][-1] == "checkpoint"
    answer = ask(asked)
    assert [event["code"] for event in answer.events if event["event"] == "warning"] == ["RESUMED"]
    assert equal(weights(tmp_path / "whole" / "out"), weights(answer.out))
    histories = [json.loads((tmp_path / name / "out" / "history.json").read_text()) for name in ("whole", "parts")]
    for history in histories:
        for epoch in history["epochs"]:
            del epoch["seconds"]
    assert histories[0]["epochs"] == histories[1]["epochs"]


def test_a_killed_process_goes_on_from_its_last_checkpoint(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name / "kept").mkdir(parents=True)
    params = {"epochs": 25, "checkpoint_seconds": 0.001, "dropout": 0.2}
    ask(sequenced(tmp_path / "whole", "cnn", params))
    asked = sequenced(tmp_path / "killed", "cnn", params, digest=str(tmp_path / "whole"))
    asked["checkpoints"] = str(tmp_path / "killed" / "kept")
    with Process() as engine:
        engine.send(asked)
        while (event := engine.receive())["event"] != "checkpoint" or event["step"] < 20:
            pass
        engine.child.send_signal(signal.SIGKILL)
        engine.child.wait()
    assert not (tmp_path / "killed" / "out" / "predictions.arrow").exists()
    answer = ask(asked)
    assert any(event.get("code") == "RESUMED" for event in answer.events)
    assert equal(weights(tmp_path / "whole" / "out"), weights(answer.out))


def test_a_stop_request_is_answered_after_a_checkpoint(tmp_path):
    (tmp_path / "kept").mkdir()
    asked = sequenced(tmp_path, "cnn_lstm", {"epochs": 5000, "checkpoint_seconds": 1e9})
    asked["checkpoints"] = str(tmp_path / "kept")
    with Process() as engine:
        engine.send(asked)
        while engine.receive()["event"] != "progress":
            pass
        engine.send({"id": "2", "method": "stop"})
        began = time.monotonic()
        events = []
        while not events or events[-1]["event"] not in ("failed", "done"):
            events.append(engine.receive())
        assert "checkpoint" in [event["event"] for event in events]
        assert events[-1] == {"id": "1", "event": "failed", "code": "STOPPED", "reason": "the engine was asked to stop"}
        assert engine.receive() == {"id": "2", "event": "done"}
        assert engine.child.wait(5) == 0 and time.monotonic() - began < 5
    assert len(checkpoint.steps(str(tmp_path / "kept"))) == 1


def test_two_processes_train_as_one_does(tmp_path):
    """But for rounding: a gradient is the mean over both shares of every batch."""
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        asked = sequenced(folder, "mlp", {"processes": processes, "dropout": 0.0, "patience": 9}, digest=str(tmp_path))
        found.append((ask(asked), weights(folder / "out")))
    for name, tensor in found[0][1].items():
        assert torch.allclose(tensor, found[1][1][name], atol=1e-4)
    histories = [json.loads((answer.out / "history.json").read_text())["epochs"] for answer, _ in found]
    for one, two in zip(*histories, strict=True):
        assert one["train_loss"] == pytest.approx(two["train_loss"], rel=1e-4)
        assert one["stop_loss"] == pytest.approx(two["stop_loss"], rel=1e-4)
    assert sorted(path.name for path in found[1][0].out.iterdir()) == ["history.json", "model.safetensors", "predictions.arrow"]


def test_two_processes_that_are_stopped_and_killed_go_on_to_the_same_weights(tmp_path):
    for name in ("whole", "parts"):
        (tmp_path / name / "kept").mkdir(parents=True)
    params = {"processes": 2, "epochs": 30, "dropout": 0.2, "checkpoint_seconds": 0.001}
    ask(sequenced(tmp_path / "whole", "cnn", params))
    asked = sequenced(tmp_path / "parts", "cnn", params, digest=str(tmp_path / "whole"))
    asked["checkpoints"] = str(tmp_path / "parts" / "kept")
    with Process() as engine:
        engine.send(asked)
        while engine.receive()["event"] != "progress":
            pass
        engine.send({"id": "2", "method": "stop"})
        answer = engine.answer()
        assert answer["code"] == "STOPPED"
        assert engine.receive() == {"id": "2", "event": "done"}
    stopped = checkpoint.steps(str(tmp_path / "parts" / "kept"))[-1]
    assert 0 < stopped < 30 * 8
    with Process() as engine:
        engine.send(asked)
        while (event := engine.receive())["event"] != "checkpoint" or event["step"] < stopped + 10:
            pass
        engine.child.send_signal(signal.SIGKILL)
        engine.child.wait()
    answer = ask(asked)
    assert "RESUMED" in [event.get("code") for event in answer.events]
    assert equal(weights(tmp_path / "whole" / "out"), weights(answer.out))


def test_what_two_processes_are_refused_is_told(tmp_path):
    with pytest.raises(Failure) as refused:
        ask(sequenced(tmp_path, "mlp", {"processes": 2, "learning_rate": 1e6, "clip_norm": None, "epochs": 30}))
    assert refused.value.code == "DIVERGED"


def test_damaged_and_foreign_checkpoints_are_passed_over(tmp_path):
    (tmp_path / "kept").mkdir()
    asked = sequenced(tmp_path, "cnn", {"epochs": 4, "checkpoint_seconds": 1e-9, "keep_checkpoints": 3})
    asked["checkpoints"] = str(tmp_path / "kept")
    ask(asked)
    whole = weights(tmp_path / "out")
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 3
    damaged = bytearray(kept[-1].read_bytes())
    kept[-1].write_bytes(damaged[: len(damaged) // 2])
    (tmp_path / "kept" / "checkpoint-9999999999.safetensors").write_bytes(b"nothing")
    answer = ask(asked)
    codes = [event["code"] for event in answer.events if event["event"] == "warning"]
    assert codes == ["CHECKPOINT_UNUSED", "CHECKPOINT_UNUSED", "RESUMED"]
    assert equal(whole, weights(answer.out))
    asked["model"]["seed"] = 99
    other = ask(asked)
    assert "RESUMED" not in [event.get("code") for event in other.events]
    assert not equal(whole, weights(other.out))


def test_what_a_dead_process_was_writing_is_removed_and_what_a_living_one_writes_stays(tmp_path):
    child = subprocess.Popen(["true"])
    child.wait()
    left = [tmp_path / f".checkpoint-0000000001.safetensors.{pid}" for pid in (child.pid, os.getppid())]
    for path in left:
        path.write_bytes(b"half")
    checkpoint.save(str(tmp_path), checkpoint.Checkpoint(3, {"a": torch.zeros(2)}, {"identity": ""}), 2)
    assert [path.exists() for path in left] == [False, True]
    assert checkpoint.steps(str(tmp_path)) == [3]
