"""What a network weighs before anything is fitted with it: its parameters, and how many rows a step has room for.

The largest batch is looked for by doing: a forward and backward pass from 8 rows on, doubled until it no longer fits. On
a GPU that is when it says so. A CPU machine would swap or be killed before, so a pass is tried only where twice what the
last one took fits, by the resident size.
"""

import gc
import math
import threading
import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import psutil
import torch
from torch import nn

from .. import deep
from ..protocol import BatchSize, Failure, Measured, Parameters, Stopped
from . import fit, trainer
from .losses import loss_of

FIRST = 8
LARGEST = 1 << 20
FREE_SHARE = 0.8
MB = 1 << 20


def run(request: Parameters | BatchSize, stopping: threading.Event) -> dict[str, Any]:
    if request.model.kind not in deep.FAMILIES:
        raise Failure("UNKNOWN_KIND", f"{request.model.kind} is no network; there are {', '.join(deep.FAMILIES)}")
    family = deep.load(request.model.kind)
    params = fit.parameters(request, family)
    with torch.device("meta"):
        count = fit.parameters_of(made(request, family, params))
    if isinstance(request, Parameters):
        return {"parameters": count}
    return {"parameters": count} | search(request, family, params, stopping)


def made(request: Measured, family: ModuleType, params: dict[str, Any]) -> nn.Module:
    if request.task == "forecast":
        return fit.forecaster_of(family, params, request.channels, request.horizon, list(range(request.channels)))
    return fit.network_of(family, params, request.channels, request.task, request.classes)


def search(request: BatchSize, family: ModuleType, params: dict[str, Any], stopping: threading.Event) -> dict[str, Any]:
    device = torch.device(trainer.device_of(params["device"]))
    torch.set_num_threads(params["threads"] or psutil.cpu_count() or 1)
    network = made(request, family, params).train()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    limit = request.memory_mb or room_mb(device)
    tried: list[dict[str, Any]] = []
    size = FIRST
    while size <= LARGEST and guessed_mb(tried) <= limit:
        if stopping.is_set():
            raise Stopped
        tried.append(attempt(Trial(network, optimizer, params, request, device), size))
        if tried[-1]["fits"] and tried[-1]["memory_mb"] > limit:
            tried[-1] |= {"fits": False, "reason": f"it took {tried[-1]['memory_mb']:.0f} MB, there are {limit:.0f}"}
        if not tried[-1]["fits"]:
            break
        size *= 2
    else:
        if size <= LARGEST:
            reason = f"it would take about {guessed_mb(tried):.0f} MB, there are {limit:.0f}"
            tried.append({"batch_size": size, "fits": False, "reason": reason, "memory_mb": None, "seconds": None})
    fitting = [one["batch_size"] for one in tried if one["fits"]]
    return {"batch_size": max(fitting, default=None), "tried": tried, "device": str(device)}


def room_mb(device: torch.device) -> float:
    """What a CPU machine can give without swapping; a GPU says itself when its memory ends."""
    if device.type == "cuda":
        return math.inf
    return (FREE_SHARE * psutil.virtual_memory().available + resident()) / MB


@dataclass
class Trial:
    network: nn.Module
    optimizer: torch.optim.Optimizer
    params: dict[str, Any]
    request: BatchSize
    device: torch.device


def attempt(trial: Trial, size: int) -> dict[str, Any]:
    """One whole step, with the optimizer's moments; what it took at its peak."""
    began = time.perf_counter()
    base = {"batch_size": size, "reason": None}
    peak = Peak(trial.device)
    try:
        with peak:
            trial.network.to(trial.device)
            step(trial, size)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_memory(error):
            raise
        return base | {"fits": False, "reason": "out of memory", "memory_mb": peak.mb, "seconds": None}
    finally:
        trial.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if trial.device.type != "cpu":
            torch.get_device_module(trial.device).empty_cache()
    return base | {"fits": True, "memory_mb": peak.mb, "seconds": time.perf_counter() - began}


def step(trial: Trial, size: int) -> None:
    length, channels = trial.params["context"], trial.request.channels
    x = torch.randn(size, length, channels, device=trial.device)
    precision = trainer.precision_of(trial.params["precision"], trial.device.type)
    with torch.autocast(trial.device.type, getattr(torch, precision), enabled=precision != "float32"):
        answer = trial.network(x).float()
    outputs = answer.shape[1]
    is_number = trial.request.task in fit.NUMBER_TASKS
    y = torch.zeros_like(answer) if is_number else torch.zeros(size, device=trial.device, dtype=torch.int64)
    loss = loss_of(trial.request.task, outputs, trial.params["loss"], trial.params["quantile"])
    loss(answer, y).mean().backward()
    trial.optimizer.step()
    if trial.device.type != "cpu":
        torch.get_device_module(trial.device).synchronize()


def is_memory(error: BaseException) -> bool:
    """MPS and the CPU have no error of their own for it."""
    said = any(words in str(error) for words in ("can't allocate memory", "out of memory"))
    return said or isinstance(error, torch.OutOfMemoryError | MemoryError)


def guessed_mb(tried: list[dict[str, Any]]) -> float:
    """What the next trial would take: twice the last one's growth over what there was before any."""
    if len(tried) < 2:
        return 0.0
    before, last = tried[-2]["memory_mb"], tried[-1]["memory_mb"]
    return last + 2 * max(0.0, last - before)


class Peak:
    """The highest resident size while it is open, looked at every 5 ms, or what CUDA had reserved, or MPS has."""

    def __init__(self, device: torch.device):
        self.device, self.mb, self.ended = device, resident() / MB, threading.Event()

    def __enter__(self) -> "Peak":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self) -> None:
        while not self.ended.wait(0.005):
            self.mb = max(self.mb, resident() / MB)

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.mb = max(self.mb, resident() / MB)
        if self.device.type == "cuda":
            self.mb = torch.cuda.max_memory_reserved(self.device) / MB
        if self.device.type == "mps":
            self.mb = max(self.mb, torch.mps.driver_allocated_memory() / MB)


def resident() -> int:
    return psutil.Process().memory_info().rss
