"""Files under a request's `out`, whole or not at all."""

import hashlib
import os
from typing import Any

import numpy as np
import pyarrow as pa


def write(out: str, name: str, content: bytes) -> dict[str, Any]:
    """Temporary file, fsync, rename, fsync of the directory: a reader never meets half a file."""
    path = os.path.join(out, name)
    temporary = os.path.join(out, f".{name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    directory = os.open(out, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    return {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def arrow_file(columns: dict[str, np.ndarray]) -> bytes:
    """Float32 columns as an uncompressed Arrow IPC file: other readers know no compressed bodies."""
    table = pa.table({name: pa.array(np.ascontiguousarray(values, np.float32)) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
