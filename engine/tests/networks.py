"""Small networks over rows of two symbols, and how a training is stopped at a step."""

import threading
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import torch
from ask import request, write
from safetensors.torch import load_file

from sluice_engine import deep, fit, protocol
from sluice_engine.deep import windows
from sluice_engine.protocol import Stopped

FAMILIES = list(deep.FAMILIES)
SEQUENCES = [kind for kind in FAMILIES if kind != "mlp"]
L, C = 24, 5
SMALL = {
    "mlp": {"hidden": [8]},
    "cnn": {"filters": [6, 8], "dense": [8]},
    "rnn": {"hidden": 8, "layers": 2, "dense": []},
    "cnn_lstm": {"filters": [6], "hidden": 8, "dense": [4]},
    "cnn_gru": {"filters": [6, 6], "hidden": 8, "layers": 1},
    "patchtst": {"d_model": 8, "num_attention_heads": 2, "ffn_dim": 16, "num_hidden_layers": 2, "patch_length": 8, "patch_stride": 4, "threads": 1},
}  # fmt: skip
FAST = {"epochs": 3, "batch_size": 32, "learning_rate": 0.01, "patience": None, "device": "cpu"}


def sequenced(folder: Path, kind: str, params: dict | None = None, task: str = "regression", **more) -> dict:
    """A request over 400 rows of two symbols; the label is told by rows before a sample's own."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(400, C)).astype(np.float32)
    rows[::31, 2] = np.nan
    ends = np.concatenate([np.arange(L - 1, 200), np.arange(200 + L - 1, 400)])
    score = np.array([rows[end - 3, 0] + 0.5 * rows[end - 9 : end, 1].sum() for end in ends])
    y = {"regression": 7 + 3 * score, "binary": (score > 0) * 1.0, "multiclass": np.digitize(score, [-0.7, 0.7]) * 1.0}
    params = FAST | SMALL[kind] | {"context": L} | (params or {})
    asked = request(folder, kind, rows[ends], y[task], params, task=task, **more)
    table = pa.ipc.open_file(asked["dataset"]["path"]).read_all()
    write(Path(asked["dataset"]["path"]), {name: table[name] for name in table.column_names} | {"at": ends.astype(np.uint32)})
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), C)
    write(folder / "rows.arrow", {"features": lists})
    asked["dataset"]["sequence"] = {"path": str(folder / "rows.arrow"), "at": "at"}
    asked["rows"] = {"train": [[0, 240]], "stop": [[240, 300]], "predict": [[300, len(ends)]]}
    return asked


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(str(out / "model.safetensors"))


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stopped_after(steps: int, asked: dict) -> list[dict]:
    """Asks and stops at a step; gives the events."""
    stopping, events = threading.Event(), []
    decoded = protocol.decode(msgspec.json.encode(asked))
    counted = [0]
    whole = windows.Samples.batch

    def batch(self, numbers):
        counted[0] += 1
        if counted[0] >= steps:
            stopping.set()
        return whole(self, numbers)

    windows.Samples.batch = batch
    try:
        with pytest.raises(Stopped):
            fit.Engine().run(decoded, lambda event, **fields: events.append({"event": event, **fields}), stopping)
    finally:
        windows.Samples.batch = whole
    return events
