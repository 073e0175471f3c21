"""Reads what the client of Weights & Biases left offline. `python offline.py RUN.wandb` prints it as one line of JSON.

The file is a log in LevelDB's format after seven bytes of its own: blocks of 32 KiB, records cut into fragments.
The client has no reader in Python any more; the messages in the records are its own.
"""

import json
import struct
import sys
from pathlib import Path

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path: Path):
    """Every record as the client's own message."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b":W&B", data[:HEADER]
    at, whole = HEADER, b""
    while at < len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK  # too little of a block for a header is padding
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole = (b"" if kind in (FULL, FIRST) else whole) + data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record


def read(path: Path) -> dict:
    """Config, history rows, summary, files and artifacts of a run, values as JSON says them."""
    found = {"config": {}, "history": [], "summary": {}, "files": [], "artifacts": [], "exit": None}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found |= {"run": record.run.run_id, "project": record.run.project, "name": record.run.display_name}
            found["config"] |= values(record.run.config.update)
        elif kind == "config":
            found["config"] |= values(record.config.update)
        elif kind == "history":
            found["history"].append(values(record.history.item))
        elif kind == "summary":
            found["summary"] |= values(record.summary.update)
        elif kind == "files":
            found["files"] += [file.path for file in record.files.files]
        elif kind == "artifact":
            names = [entry.path for entry in record.artifact.manifest.contents]
            found["artifacts"].append({"name": record.artifact.name, "type": record.artifact.type, "files": names})
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def values(items) -> dict:
    return {item.key or "/".join(item.nested_key): number(item.value_json) for item in items}


def number(text: str):
    """NaN is no JSON; it is a word here."""
    return json.loads(text, parse_constant=str)


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]))))
