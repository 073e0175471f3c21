"""What a training needs to go on as if it had not been ended: one safetensors file, whole or absent. No pickle."""

import json
import os
import re
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

NAME = re.compile(r"checkpoint-(\d{10})\.safetensors")
FORMAT = "1"


@dataclass
class Checkpoint:
    step: int
    tensors: dict[str, Tensor]  # weights, the best ones, optimizer moments, states of random generators
    state: dict[str, Any]  # plain values


def save(folder: str, checkpoint: Checkpoint, keep: int) -> tuple[str, int]:
    """Temporary file, fsync, rename; it and those before it stay, `keep` in all. Gives its path and bytes."""
    path = os.path.join(folder, f"checkpoint-{checkpoint.step:010d}.safetensors")
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{os.getpid()}")
    forget_dead(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    save_file(tensors, temporary, {"format": FORMAT, "state": json.dumps(checkpoint.state)})
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    earlier = [step for step in steps(folder) if step <= checkpoint.step][-keep:]
    for step in set(steps(folder)) - set(earlier):  # a later one was passed over when this training went on
        os.unlink(os.path.join(folder, f"checkpoint-{step:010d}.safetensors"))
    return path, os.path.getsize(path)


def forget_dead(folder: str) -> None:
    """Removes what processes that are no more were writing."""
    for name in os.listdir(folder):
        if name.startswith(".checkpoint-") and not psutil.pid_exists(int(name.rpartition(".")[2])):
            os.unlink(os.path.join(folder, name))


def steps(folder: str) -> list[int]:
    return sorted(int(found[1]) for name in os.listdir(folder) if (found := NAME.fullmatch(name)))


def newest(folder: str, identity: str) -> tuple[Checkpoint | None, list[str]]:
    """The newest one of this very training that can be read, and what is wrong with those that were passed over."""
    passed: list[str] = []
    for step in reversed(steps(folder)):
        path = os.path.join(folder, f"checkpoint-{step:010d}.safetensors")
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                state = json.loads(metadata["state"])
                if metadata["format"] != FORMAT or state["identity"] != identity:
                    passed.append(f"{os.path.basename(path)} is of another training")
                    continue
                return Checkpoint(step, {name: file.get_tensor(name) for name in file.keys()}, state), passed
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            passed.append(f"{os.path.basename(path)} cannot be read: {error}")
    return None, passed


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def generators(device: torch.device) -> dict[str, Tensor]:
    """States of the generators that dropout on a device, and all else, draws from."""
    found = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        found[device.type] = torch.get_device_module(device).get_rng_state()
    return found


def set_generators(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states.pop("cpu"))
    for device, state in states.items():
        torch.get_device_module(device).set_rng_state(state)
