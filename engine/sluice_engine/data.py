"""From an Arrow file and row ranges to matrices, and the cache that keeps them between requests. Fits nothing."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from .protocol import Dataset, Failure, Rows


@dataclass
class Table:
    """A dataset in memory. Missing features are NaN, words are codes; the label is float64 as written, not yet a class number."""

    features: np.ndarray  # (N, F) float32, rows contiguous
    label: np.ndarray  # (N,) float64


class Cache:
    """The few last things made, by key: a grid fits the same rows again and again. Never changes a result, only its time."""

    def __init__(self, size: int):
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._size = size

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def key(dataset: Dataset) -> tuple:
    """Equal keys, equal tables."""
    return (dataset.digest, tuple(dataset.features), dataset.label, tuple(dataset.categories.items()))


def load(dataset: Dataset) -> Table:
    """Memory-maps the file and gathers its columns. DATASET_MISSING, DATASET_CORRUPT (also for a code beyond its words), or NOT_FINITE when a feature is infinite."""
    if not os.path.isfile(dataset.path):
        raise Failure("DATASET_MISSING", f"no file {dataset.path}")
    try:
        table = pa.ipc.open_file(pa.memory_map(dataset.path)).read_all()
        columns = [column(table, name, pa.float32()) for name in dataset.features]
        label = column(table, dataset.label, pa.float64())
    except (pa.ArrowException, OSError) as error:
        raise Failure("DATASET_CORRUPT", f"{dataset.path}: {error}") from None
    features = np.column_stack(columns)
    check_features(features, dataset)
    return Table(features, label)


@dataclass
class Sequence:
    """What windows are cut from."""

    features: np.ndarray  # (M, F) float32, mapped; the rows of one symbol follow each other
    ends: np.ndarray  # (N,) int64: the row that each sample of the dataset ends with
    starts: np.ndarray  # (S,) int64: the row that each symbol begins with

    def before(self) -> np.ndarray:
        """(N,) rows of its symbol before each sample's end."""
        return self.ends - self.starts[np.searchsorted(self.starts, self.ends, "right") - 1]

    def after(self) -> np.ndarray:
        """(N,) rows of its symbol after each sample's end."""
        bounds = np.append(self.starts, len(self.features))
        return bounds[np.searchsorted(bounds, self.ends, "right")] - 1 - self.ends


def load_sequence(dataset: Dataset) -> Sequence:
    """Memory-maps the rows of a sequence without a copy. Errors as of load."""
    path, at = dataset.sequence.path, dataset.sequence.at
    for file in (dataset.path, path):
        if not os.path.isfile(file):
            raise Failure("DATASET_MISSING", f"no file {file}")
    try:
        values = pa.ipc.open_file(pa.memory_map(path)).read_all().column(0)
        if values.type != pa.list_(values.type.value_field, len(dataset.features)) or values.num_chunks != 1:
            raise pa.ArrowInvalid(f"{path} holds {values.type}, not lists of {len(dataset.features)} values")
        features = values.chunk(0).values.to_numpy().reshape(-1, len(dataset.features))
        ends = column(pa.ipc.open_file(pa.memory_map(dataset.path)).read_all(), at, pa.uint32()).astype(np.int64)
    except (pa.ArrowException, OSError) as error:
        raise Failure("DATASET_CORRUPT", f"{path}: {error}") from None
    if len(ends) and ends.max() >= len(features):
        raise Failure("DATASET_CORRUPT", f"a sample ends with row {ends.max()} of the {len(features)} in {path}")
    starts = np.array(dataset.sequence.starts, np.int64)
    if starts[-1] > 0 and starts[-1] >= len(features):
        raise Failure("BAD_REQUEST", f"a symbol begins with row {starts[-1]} of the {len(features)} in {path}")
    check_features(features, dataset)
    return Sequence(features, ends, starts)


def check_features(features: np.ndarray, dataset: Dataset) -> None:
    for name, infinite in zip(dataset.features, np.isinf(features).any(axis=0), strict=True):
        if infinite:
            raise Failure("NOT_FINITE", f"feature {name} holds an infinite value")
    for name, words in dataset.categories.items():
        check_codes(name, features[:, dataset.features.index(name)], words)


def check_codes(name: str, codes: np.ndarray, words: int) -> None:
    known = np.isnan(codes) | ((codes >= 0) & (codes <= words) & (codes == np.floor(codes)))
    if not known.all():
        raise Failure(
            "DATASET_CORRUPT", f"feature {name} holds {codes[~known][0]:g}, which is no code of {words} words"
        )


def column(table: pa.Table, name: str, kind: pa.DataType) -> np.ndarray:
    """One column as numpy, null as NaN."""
    found = table.schema.get_all_field_indices(name)
    if len(found) != 1:
        raise pa.ArrowInvalid(f"{len(found)} columns named {name}")
    values = table.column(found[0])
    if values.type != kind:
        raise pa.ArrowInvalid(f"column {name} is {values.type}, not {kind}")
    return values.to_numpy()


def row_numbers(rows: Rows, count: int) -> np.ndarray | slice:
    """Row numbers of a part, in order. One range is a slice, which costs no copy."""
    if isinstance(rows, str):
        index = read_index(rows)
        if len(index) and index.max() >= count:
            raise Failure("BAD_REQUEST", f"row {index.max()} of {rows} is beyond the {count} rows")
        return index
    for start, end in rows:
        if not 0 <= start <= end <= count:
            raise Failure("BAD_REQUEST", f"rows [{start}, {end}) do not lie within the {count} rows")
    if len(rows) == 1:
        return slice(*rows[0])
    return np.concatenate([np.arange(start, end) for start, end in rows]) if rows else np.arange(0)


def read_index(path: str) -> np.ndarray:
    try:
        table = pa.ipc.open_file(pa.memory_map(path)).read_all()
    except FileNotFoundError:
        raise Failure("DATASET_MISSING", f"no file {path}") from None
    except (pa.ArrowException, OSError) as error:
        raise Failure("DATASET_CORRUPT", f"{path}: {error}") from None
    if table.num_columns != 1 or table.schema.types[0] != pa.uint32() or table.column(0).null_count:
        raise Failure("DATASET_CORRUPT", f"{path} must hold one uint32 column of row numbers")
    return table.column(0).to_numpy()


def rows_key(rows: Rows) -> Any:
    """Equal rows, equal key; a file counts by its bytes, since its path may be used again."""
    if isinstance(rows, str):
        return hashlib.sha256(read_index(rows).tobytes()).hexdigest()
    return tuple(rows)


def targets(label: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Class numbers 0..K-1 in the order of `classes`, or the label itself for regression. NOT_FINITE, UNKNOWN_CLASS."""
    if not np.isfinite(label).all():
        raise Failure("NOT_FINITE", f"{np.sum(~np.isfinite(label))} of the {len(label)} labels are missing or infinite")
    if dataset.task == "regression":
        return label
    order = np.argsort(dataset.classes)
    sorted_classes = np.asarray(dataset.classes)[order]
    place = np.searchsorted(sorted_classes, label).clip(max=len(order) - 1)
    unknown = label[sorted_classes[place] != label]
    if len(unknown):
        raise Failure("UNKNOWN_CLASS", f"label {unknown[0]:g} is none of the classes {dataset.classes}")
    return order[place]


def class_weights(y: np.ndarray, classes: int) -> np.ndarray:
    """(K,) n / (K n_k): every class weighs the same in sum (King & Zeng 2001; scikit-learn's "balanced")."""
    return len(y) / (classes * np.bincount(y, minlength=classes))
