"""The process that tells Weights & Biases of a run: its client leaves a file that is read back, or a server has it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ask import ENGINE
from offline import read
from online import Server

RUN = "20260101000000-abcdef"


class Tracker:
    """A real one, with a home of its own."""

    def __init__(self, folder: Path, *first: Path, **variables: str):
        self.folder = folder
        home = folder / "home"
        home.mkdir(exist_ok=True)
        path = os.pathsep.join(str(part) for part in (*first, ENGINE))
        env = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "sluice_engine.tracker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home), **variables},
        )

    def ask(self, method: str, **body) -> dict:
        return self.send(json.dumps({"id": "1", "method": method, **body}).encode())

    def send(self, line: bytes) -> dict:
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def begin(self, mode: str = "offline") -> dict:
        names = {"run": RUN, "name": "m", "project": "p", "mode": mode, "folder": str(self.folder)}
        return self.ask("begin", **names, config={"split.embargo": 5, "sluice.table.md5": "0" * 32})

    def left(self) -> dict:
        [file] = self.folder.glob(f"wandb/offline-run-*/run-{RUN}.wandb")
        return read(file)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        with self.child:  # closes its pipes
            self.child.kill()


def points(*rows: tuple, first: int = 1) -> list[dict]:
    return [
        {"id": first + i} | dict(zip(("series", "name", "step", "value"), row, strict=True))
        for i, row in enumerate(rows)
    ]


def test_a_run_is_what_was_told(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"graph")
    with Tracker(tmp_path) as tracker:
        assert tracker.begin() == {"id": "1", "event": "done"}
        told = points(("a/0", "loss", 1, 0.5), ("a/0", "lr", 1, 0.1), ("b", "loss", 7, 2.0), ("a/0", "loss", 2, None))
        assert tracker.ask("points", points=told)["event"] == "done"
        end = {"figures": {"test/sharpe": 1.5}, "config": {"sluice.status": "deployed"}, "exit_code": 0}
        files = {"files": [{"name": "sluice.yaml", "path": str(model)}]}
        bundle = {"bundle": [{"name": "model.onnx", "path": str(model)}]}
        assert tracker.ask("end", **end, **files, **bundle)["event"] == "done"
        tracker.child.stdin.close()
        assert tracker.child.wait(20) == 0
    left = tracker.left()
    assert (left["run"], left["project"], left["exit"]) == (RUN, "p", 0)
    assert left["config"]["split.embargo"] == 5
    assert left["config"]["sluice.status"] == "deployed"
    rows = [{name: value for name, value in row.items() if not name.startswith("_")} for row in left["history"]]
    assert rows == [
        {"a/0/loss": 0.5, "a/0/lr": 0.1, "a/0/step": 1},
        {"b/loss": 2.0, "b/step": 7},
        {"a/0/loss": "NaN", "a/0/step": 2},
    ]
    assert [row["_step"] for row in left["history"]] == [2, 3, 4]  # each row by its last point
    assert left["summary"]["test/sharpe"] == 1.5
    assert "sluice.yaml" in left["files"]
    assert left["artifacts"] == [{"name": "m-bundle", "type": "model", "files": ["model.onnx"]}]
    assert list((tmp_path / "home").iterdir()) == []  # nothing beside the run's folder


def test_what_the_server_has_is_not_told_again(tmp_path):
    told = points(("a", "loss", 1, 0.5), ("a", "lr", 1, 0.1), ("b", "loss", 1, 2.0), ("a", "loss", 2, 0.2), first=7)

    def tell(server: Server, count: int) -> None:
        with Tracker(tmp_path, WANDB_BASE_URL=server.url, WANDB_API_KEY="0" * 40) as tracker:
            assert tracker.begin(mode="online")["event"] == "done"
            assert tracker.ask("points", points=told[:1])["event"] == "done"
            assert tracker.ask("points", points=told[1:count])["event"] == "done"
            assert tracker.ask("end", exit_code=0)["event"] == "done"
            tracker.child.stdin.close()
            assert tracker.child.wait(20) == 0

    with Server() as server:
        for count in (3, 4, 4):
            tell(server, count)
    rows = [
        {name: value for name, value in row.items() if name not in ("_timestamp", "_runtime")} for row in server.history
    ]
    assert rows == [
        {"_step": 7, "a/loss": 0.5, "a/step": 1},
        {"_step": 8, "a/lr": 0.1, "a/step": 1},
        {"_step": 9, "b/loss": 2.0, "b/step": 1},
        {"_step": 10, "a/loss": 0.2, "a/step": 2},
    ]


def test_the_end_of_stdin_ends_the_run(tmp_path):
    with Tracker(tmp_path) as tracker:
        tracker.begin()
        tracker.ask("points", points=points(("a", "loss", 1, 0.5)))
        tracker.child.stdin.close()
        assert tracker.child.wait(20) == 0
    left = tracker.left()
    assert len(left["history"]) == 1
    assert left["exit"] == 1


def test_what_is_killed_leaves_no_process_of_the_client(tmp_path):
    with Tracker(tmp_path) as tracker:
        tracker.begin()
        tracker.child.kill()
        tracker.child.wait()
    for _ in range(200):
        if not clients(tmp_path):
            return
        time.sleep(0.1)
    pytest.fail("the client's own process is still there")


def clients(folder: Path) -> list[str]:
    lines = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if "wandb-core" in line and str(folder) in line]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"no json", "TRACKER_REFUSED"),
        (b'{"id": "1", "method": "shout"}', "TRACKER_REFUSED"),
        (b'{"id": "1", "method": "points", "points": []}', "TRACKER_REFUSED"),
    ],
)
def test_what_is_no_request_is_answered(tmp_path, line, code):
    with Tracker(tmp_path) as tracker:
        failed = tracker.send(line)
        assert (failed["event"], failed["code"]) == ("failed", code)
        assert tracker.begin()["event"] == "done"


def test_the_client_may_be_missing(tmp_path):
    without = tmp_path / "without"
    without.mkdir()
    (without / "wandb.py").write_text("raise ModuleNotFoundError(\"No module named 'wandb'\")")
    with Tracker(tmp_path, without) as tracker:
        assert tracker.begin()["code"] == "TRACKER_MISSING"
