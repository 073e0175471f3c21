"""Samples as windows of rows. The rows lie once in a mapped file, windows are views of them: a batch is the only copy."""

import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .ahead import Ahead

PREFETCHED = 2
BLOCK = 1 << 16


@dataclass
class Windows:
    rows: Tensor  # (M, C) float32; the rows of one symbol follow each other
    ends: Tensor  # (N,) int64: the row that each sample ends with
    length: int  # L

    def __len__(self) -> int:
        return len(self.ends)

    def batch(self, samples: Tensor) -> Tensor:
        """(B,) numbers of samples -> (B, L, C), oldest row first."""
        views = self.rows.unfold(0, self.length, 1).transpose(1, 2)  # (M - L + 1, L, C): each a row further
        return views[self.ends[samples] - (self.length - 1)]


@dataclass
class Samples:
    """What is learned from: windows, their targets, and weights where classes are to weigh the same."""

    windows: Windows
    y: Tensor | Ahead  # (N,) int64 classes, or float32; rows to forecast
    weight: Tensor | None  # (N,) float32

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, samples: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        return self.windows.batch(samples), self.y[samples], None if self.weight is None else self.weight[samples]


def map_rows(folder: str, shape: tuple[int, int]) -> np.ndarray:
    """An array of float32 in a file that vanishes with the process: larger than the memory, shared by no one."""
    path = os.path.join(folder, f".rows.{os.getpid()}")
    if 0 in shape:
        return np.empty(shape, np.float32)
    try:
        with open(path, "wb") as file:
            file.truncate(4 * shape[0] * shape[1])
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, 4 * shape[0] * shape[1])  # a full disk would else end the process
        return np.memmap(path, np.float32, "r+", shape=shape)
    finally:
        os.unlink(path)


def covered(rows: int, ends: np.ndarray, length: int) -> np.ndarray:
    """(M,) whether some window reads a row."""
    steps = np.zeros(rows + 1, np.int64)
    np.add.at(steps, ends - (length - 1), 1)
    np.add.at(steps, ends + 1, -1)
    return np.cumsum(steps[:-1]) > 0


def order(count: int, seed: int, epoch: int) -> Tensor:
    """A permutation of all samples for each epoch, by seed and epoch alone: a loader has no other state."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % (1 << 63))
    return torch.randperm(count, generator=generator)


def batches(order: Tensor, size: int) -> list[Tensor]:
    """In their order, `size` each; a last one of a single row, which has no deviation to norm by, joins the one before."""
    made = list(order.split(size))
    if len(made) > 1 and len(made[-1]) == 1:
        made[-2:] = [torch.cat(made[-2:])]
    return made


def prefetched(samples: Samples, batches: list[Tensor], pinned: bool) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Batches in their order, gathered by a thread while the ones before are learned from."""
    made: queue.Queue = queue.Queue(PREFETCHED)
    ended = threading.Event()

    def put(item: object) -> None:
        while not ended.is_set():
            try:
                return made.put(item, timeout=0.1)
            except queue.Full:
                pass

    def gather() -> None:
        try:
            for numbers in batches:
                if ended.is_set():
                    return
                batch = samples.batch(numbers)
                put(tuple(part.pin_memory() if pinned and part is not None else part for part in batch))
            put(None)
        except BaseException as error:  # shown where the batch is asked for
            put(error)

    thread = threading.Thread(target=gather, daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ended.set()
        thread.join()
