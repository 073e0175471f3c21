"""Data parallel training: torchrun starts a process for each share of every batch, and the first of them tells what becomes of it.

Each process reads the request by itself, so nothing travels but gradients. Run as `python -m sluice_engine.deep.processes`
it is one of them.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import msgspec
import torch

from .. import artefacts, fit, protocol
from ..process import die_with_parent, take_stdout
from ..protocol import Failure, Fit, Stopped
from . import fit as networks
from . import trainer
from .trainer import Recipe, Trained

REQUEST, TRAINED, FAILED = ".request.json", ".trained.safetensors", ".failed.json"
STOPPED = 75  # exit code of a process that was asked to stop
SHUTDOWN_SECONDS = 3600  # a step and a checkpoint of a large network take longer than torchrun's 30 s


def train(request: Fit, recipe: Recipe, emit: fit.Emit, stopping: threading.Event) -> Trained:
    """What training in this process would give, but for rounding. BAD_PARAM."""
    check_devices(recipe)
    path = os.path.join(request.out, REQUEST)
    artefacts.write(request.out, REQUEST, msgspec.json.encode(request))
    how = ["--standalone", "--shutdown-timeout", str(SHUTDOWN_SECONDS), "--nproc-per-node", str(recipe.processes)]
    command = ["torch.distributed.run", *how, "-m", __name__, path]
    child = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    ended = threading.Event()
    threading.Thread(target=terminate, args=(child, stopping, ended), daemon=True).start()
    try:
        with child.stdout:
            for line in child.stdout:
                emit(**json.loads(line))
        code = child.wait()
    finally:
        ended.set()
        child.kill()
    try:
        return outcome(request, code, stopping)
    finally:
        for name in (REQUEST, TRAINED, FAILED):
            if os.path.exists(os.path.join(request.out, name)):
                os.unlink(os.path.join(request.out, name))


def check_devices(recipe: Recipe) -> None:
    device = trainer.device_of(recipe.device)
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, recipe.processes)
    if recipe.processes > there:
        raise Failure("BAD_PARAM", f"processes: {recipe.processes} need as many devices, and there is {there} of {device}")


def terminate(child: subprocess.Popen, stopping: threading.Event, ended: threading.Event) -> None:
    """torchrun hands SIGTERM on to its processes, which then leave a checkpoint."""
    while not ended.is_set():
        if stopping.wait(0.1):
            child.send_signal(signal.SIGTERM)
            return


def outcome(request: Fit, code: int, stopping: threading.Event) -> Trained:
    failed = os.path.join(request.out, FAILED)
    if os.path.exists(failed):
        with open(failed, "rb") as file:
            raise Failure(**json.load(file))
    if stopping.is_set():
        raise Stopped
    if code != 0:
        raise Failure("FIT_FAILED", f"torchrun ended with {code}")
    return networks.read_trained(os.path.join(request.out, TRAINED), networks.identity(request))


def main(path: str) -> None:
    """One of the processes. Events are JSON lines on stdout, of the first one alone."""
    die_with_parent()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with open(path, "rb") as file:
        request = protocol.decode(file.read())
    rank = int(os.environ["RANK"])
    out = take_stdout()

    def emit(event: str, **fields: Any) -> None:
        if rank == 0:
            os.write(out, msgspec.json.encode({"event": event} | fields) + b"\n")

    try:
        trained = networks.trained_here(request, fit.Engine(), emit, stopping)
    except Stopped:
        sys.exit(STOPPED)
    except Failure as failure:
        if rank == 0:
            told = {"code": failure.code, "reason": failure.reason}
            artefacts.write(request.out, FAILED, json.dumps(told).encode())
        sys.exit(1)
    if rank == 0:
        artefacts.write(request.out, TRAINED, networks.written(trained, networks.identity(request)))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
