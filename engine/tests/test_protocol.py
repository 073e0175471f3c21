"""The contract: golden messages, and a real process that is spoken to as its parent speaks to it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import msgspec
import numpy as np
import pytest
from ask import ENGINE, KINDS, PROTOCOL, SCHEMA, TREES, Process, conforms, request
from jsonschema import Draft202012Validator

from sluice_engine import protocol

HELLO = {"id": "1", "method": "hello"}


def golden(name: str) -> list:
    cases = json.loads((PROTOCOL / "golden" / f"{name}.json").read_text())
    return [pytest.param(case["message"], id=case["why"]) for case in cases]


def test_schema_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("message", golden("requests.valid"))
def test_valid_request(message):
    assert conforms(message, "request")
    assert protocol.decode(msgspec.json.encode(message)).id == message["id"]


@pytest.mark.parametrize("message", golden("requests.invalid"))
def test_invalid_request(message):
    assert not conforms(message, "request")
    with pytest.raises(protocol.Failure, match="BAD_REQUEST"):
        protocol.decode(msgspec.json.encode(message))


@pytest.mark.parametrize("message", golden("events.valid"))
def test_valid_event(message):
    assert conforms(message, "event")


@pytest.mark.parametrize("message", golden("events.invalid"))
def test_invalid_event(message):
    assert not conforms(message, "event")


def test_events_hold_no_nan(tmp_path):
    path = tmp_path / "events"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    protocol.Events(descriptor).emit("7", "progress", metrics={"a": float("nan")}, eta=float("inf"))
    os.close(descriptor)
    assert json.loads(path.read_text()) == {"id": "7", "event": "progress", "metrics": {"a": None}, "eta": None}


def test_hello_needs_no_library():
    with Process() as engine:
        began = time.monotonic()
        engine.send(HELLO)
        done = engine.receive()
        assert time.monotonic() - began < 2
        assert done["versions"]["numpy"] == np.__version__
        with open(f"/proc/{engine.child.pid}/maps") if sys.platform == "linux" else open(os.devnull) as maps:
            assert "numpy" not in maps.read()


def test_hello_by_hand():
    """The way the docs show: stdin ends before the answer."""
    ran = subprocess.run(
        [sys.executable, "-m", "sluice_engine"],
        input=json.dumps(HELLO).encode() + b"\n",
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ENGINE)},
        timeout=20,
        check=True,
    )
    assert json.loads(ran.stdout)["protocol"] == protocol.VERSION


@pytest.mark.parametrize(
    "line",
    [b"garbage", b"{", b"[]", b"null", b'{"id":"\xff"}', b'{"id":7,"method":"hello"}', b"[" * 100_000, b'{"x":NaN}'],
)
def test_lives_on_after_a_bad_line(line):
    with Process() as engine:
        engine.send(line)
        assert {**engine.receive(), "reason": ""} == {
            "id": None,
            "event": "failed",
            "code": "BAD_REQUEST",
            "reason": "",
        }
        engine.send(HELLO)
        assert engine.receive()["event"] == "done"


def test_bad_request_with_an_id_is_answered_to_it():
    with Process() as engine:
        engine.send({"id": "5", "method": "dance"})
        failed = engine.receive()
        assert (failed["id"], failed["code"]) == ("5", "BAD_REQUEST")


def test_requests_are_answered_in_order(tmp_path, binary):
    with Process() as engine:
        asked = request(tmp_path, "logistic", *binary)
        for id in "abc":
            engine.send(asked | {"id": id})
        assert [engine.answer()["id"] for _ in "abc"] == ["a", "b", "c"]


def test_prints_do_not_reach_the_events():
    code = "import os, sluice_engine.__main__ as m; fd = m.take_stdout(); print('a', flush=True); os.system('echo b'); os.write(fd, b'event')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ENGINE, check=True)
    assert (ran.stdout, sorted(ran.stderr.split())) == (b"event", [b"a", b"b"])


@pytest.mark.parametrize(("kind", "how"), [*((kind, "stop") for kind in TREES), ("xgboost", "SIGTERM")])
def test_stop_ends_a_fit_at_its_next_iteration(tmp_path, binary, kind, how):
    with Process() as engine:
        long = 10_000 if kind == "random_forest" else 300_000
        params = {TREES[kind]: long} | ({"boosting_type": "Plain", "depth": 2} if kind == "catboost" else {})
        engine.send(request(tmp_path, kind, *binary, params))
        engine.send(HELLO | {"id": "2"})  # waits its turn
        time.sleep(2)  # loaded, and at it
        if how == "stop":
            engine.send({"id": "3", "method": "stop"})
        else:
            engine.child.send_signal(signal.SIGTERM)
        began = time.monotonic()
        failed = engine.answer()
        assert (failed["id"], failed["code"]) == ("1", "STOPPED")
        assert engine.answer()["id"] == "2"
        if how == "stop":
            assert engine.answer() == {"id": "3", "event": "done"}
        assert engine.child.wait(10) == 0
        assert time.monotonic() - began < 10
        assert os.listdir(tmp_path / "out") == []


def test_interrupt_is_left_to_the_parent():
    with Process() as engine:
        engine.send(HELLO)
        engine.receive()
        engine.child.send_signal(signal.SIGINT)
        engine.send(HELLO)
        assert engine.receive()["event"] == "done"


def test_end_of_stdin_ends_a_fit(tmp_path, binary):
    with Process() as engine:
        engine.send(request(tmp_path, "logistic", *binary, {"tol": 1e-300, "max_iter": 10**8, "C": 1e30}))
        engine.send(request(tmp_path, "xgboost", *binary, {"n_estimators": 300_000}))
        engine.send(HELLO)
        time.sleep(1)
        engine.child.stdin.close()
        assert engine.child.wait(5) == 0
        engine.child.stdin = None


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
def test_dies_with_its_parent():
    """stdin stays open in this test, so only the signal can end the engine."""
    reader, writer = os.pipe()
    parent = textwrap.dedent("""
        import subprocess, sys, time
        engine = subprocess.Popen([sys.executable, "-m", "sluice_engine"], stdin=int(sys.argv[1]), stdout=subprocess.PIPE)
        engine.stdout.readline()
        print(engine.pid, flush=True)
        time.sleep(60)
    """)
    middle = subprocess.Popen(
        [sys.executable, "-c", parent, str(reader)],
        stdout=subprocess.PIPE,
        pass_fds=[reader],
        env=os.environ | {"PYTHONPATH": str(ENGINE)},
    )
    os.write(writer, json.dumps(HELLO).encode() + b"\n")
    pid = int(middle.stdout.readline())
    assert running(pid)
    middle.kill()
    middle.communicate()
    deadline = time.monotonic() + 5
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(pid)
    os.close(reader)
    os.close(writer)


def running(pid: int) -> bool:
    """Not gone, and not a zombie that waits for a careless init."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kind", KINDS)
def test_writes_below_out_only(tmp_path, binary, kind):
    home = tmp_path / "home"
    home.mkdir()
    params, task = {TREES[kind]: 5} if kind in TREES else {}, "regression" if kind == "ridge" else "binary"
    with Process(HOME=str(home), TMPDIR=str(home)) as engine:
        engine.send(request(tmp_path, kind, *binary, params, method="export", task=task))
        done = engine.answer()
    assert done["event"] == "done", done
    assert sorted(os.listdir(tmp_path / "out")) == sorted(artefact["name"] for artefact in done["artefacts"])
    assert os.listdir(home) == []
    assert sorted(os.listdir(tmp_path)) == ["dataset.arrow", "home", "out"]
    assert done["cpu_seconds"] > 0
    assert done["peak_memory_mb"] > 50
