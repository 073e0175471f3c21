"""How the tests ask the engine: in this process, or as its parent over pipes."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pyarrow as pa

from sluice_engine import export, fit, models, prepare, protocol

ENGINE = Path(__file__).parents[1]
PROTOCOL = ENGINE.parent / "protocol"
SCHEMA = json.loads((PROTOCOL / "engine.schema.json").read_text())
KINDS = list(models.KINDS)
TREES = {
    "random_forest": "n_estimators",
    "xgboost": "n_estimators",
    "lightgbm": "n_estimators",
    "catboost": "iterations",
}
CLASSIFIERS = [kind for kind in KINDS if kind != "ridge"]
LINEAR = ["logistic", "ridge"]
CASES = [
    (kind, task)
    for kind in KINDS
    for task in ("binary", "multiclass", "regression")
    if (kind, task == "regression") not in (("logistic", True), ("ridge", False))
]
BOOSTING = ["xgboost", "lightgbm", "catboost"]
SMALL = {kind: {TREES[kind]: 12} if kind in TREES else {} for kind in KINDS}
BOUND = {kind: 1e-5 if kind in LINEAR else 1e-6 for kind in KINDS}  # of parity


def conforms(message: dict, definition: str) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA | {"oneOf": [{"$ref": f"#/$defs/{definition}"}]}).is_valid(message)


def write(path: Path, columns: dict[str, np.ndarray]) -> None:
    table = pa.table(columns)
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(table)


def request(
    folder: Path,
    kind: str,
    x: np.ndarray,
    y: np.ndarray,
    params: dict | None = None,
    *,
    method: str = "fit",
    task: str = "binary",
    rows: dict | None = None,
    seed: int = 7,
    iterations: int | None = None,
    digest: str | None = None,
    categories: dict[str, int] | None = None,
    prepare: dict | None = None,
) -> dict:
    """Writes the dataset and an empty `out` under `folder`; by default every row is trained on and predicted."""
    features = [f"f{i}" for i in range(x.shape[1])]
    path, out = folder / "dataset.arrow", folder / "out"
    write(path, {name: x[:, i].astype(np.float32) for i, name in enumerate(features)} | {"label": y.astype(float)})
    out.mkdir(exist_ok=True)
    classes = [] if task == "regression" else np.unique(y[~np.isnan(y)]).tolist()
    if len(classes) == 1:
        classes = [0.0, 1.0]
    return {
        "id": "1",
        "method": method,
        "dataset": {
            "digest": digest or str(folder),
            "path": str(path),
            "features": features,
            "label": "label",
            "task": task,
            "classes": classes,
            "categories": categories or {},
        },
        "model": {"kind": kind, "params": params or {}, "prepare": prepare or {}, "seed": seed},
        "rows": rows or {"train": [[0, len(y)]], "predict": [[0, len(y)]]},
        "iterations": iterations,
        "out": str(out),
    }


@dataclass
class Answer:
    done: dict
    events: list[dict]
    out: Path

    def columns(self, prefix: str = "p") -> np.ndarray:
        """(N, K) predictions as written."""
        table = pa.ipc.open_file(str(self.out / "predictions.arrow")).read_all()
        return np.column_stack([table[name].to_numpy() for name in table.column_names if name.startswith(prefix)])


def ask(asked: dict, engine: fit.Engine | None = None) -> Answer:
    """Asks in this process, with a cold engine unless one is given."""
    events: list[dict] = []
    decoded = protocol.decode(msgspec.json.encode(asked))
    emit = lambda event, **fields: events.append({"event": event, **fields})  # noqa: E731
    return Answer((engine or fit.Engine()).run(decoded, emit, threading.Event()), events, Path(asked["out"]))


class Trained:
    """A fitted model with both of its faces."""

    def __init__(self, folder: Path, kind: str, x: np.ndarray, y: np.ndarray, params: dict | None = None, **more):
        engine = fit.Engine()
        asked = protocol.decode(msgspec.json.encode(request(folder, kind, x, y, params, **more)))
        self.kind = models.load(kind)
        table = engine.table(asked)
        self.job, self.prepared = fit.gather(asked, self.kind, table, engine, lambda *_, **__: None, threading.Event())
        self.fitted = fit.fit(self.kind, self.job)
        self.structure = self.kind.structure(self.fitted.model, self.job)
        self.onnx = fit.onnx_graph(self.prepared, self.structure, x.shape[1], self.job.task)

    def difference(self, x: np.ndarray) -> float:
        """How far the graph is from the library on raw rows."""
        x = np.ascontiguousarray(x, np.float32)
        native = fit.predict(self.kind, self.fitted, prepare.apply(self.prepared, x), self.job)
        return fit.difference(native, export.run(self.onnx, x, 1))


class Process:
    """A real engine. Every event it sends is held to the schema."""

    def __init__(self, **environment: str):
        env = os.environ | {"PYTHONPATH": str(ENGINE), "PYTHONDONTWRITEBYTECODE": "1"} | environment
        self.child = subprocess.Popen(
            [sys.executable, "-m", "sluice_engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=environment.get("HOME"),
        )

    def send(self, message: dict | bytes) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()

    def receive(self) -> dict:
        line = self.child.stdout.readline()
        assert line, f"the engine ended: {self.child.stderr.read().decode()}"
        event = json.loads(line)
        assert conforms(event, "event"), event
        return event

    def answer(self) -> dict:
        """The next done or failed."""
        while (event := self.receive())["event"] not in ("done", "failed"):
            pass
        return event

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.communicate()
