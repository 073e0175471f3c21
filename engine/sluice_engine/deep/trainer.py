"""The training loop: plain, exact, able to stop at any step and to go on as if it had not. Knows a network and samples."""

import contextlib
import math
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast
from torch import Tensor, nn

from ..protocol import Failure, Stopped
from . import checkpoint, windows
from .checkpoint import Checkpoint
from .losses import LossOf
from .windows import Samples

TOLD_SECONDS = 0.5
HISTORY_STEPS = 5000
PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
NOT_DETERMINISTIC = re.compile(r"(.+?) (?:does not have a deterministic impl|defaults to a non-deterministic algorithm)")
Count = Annotated[int, msgspec.Meta(ge=1)]
Above = Annotated[float, msgspec.Meta(gt=0)]


@dataclass
class Recipe:
    """The parameters of a training, as deep.TRAINING names them."""

    epochs: Count
    batch_size: Count
    accumulate: Count
    learning_rate: Above
    weight_decay: Annotated[float, msgspec.Meta(ge=0)]
    schedule: Literal["one_cycle", "plateau", "constant"]
    patience: Count | None
    clip_norm: Above | None
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Count | None
    processes: Count
    checkpoint_seconds: Above
    keep_checkpoints: Count
    seed: int
    only_epochs: int | None = None  # ends after so many of `epochs`, whatever the loss


@dataclass
class Watch:
    """What goes on outside: who is told, who may stop it, and where it can be picked up again."""

    emit: Callable[..., None]
    stopping: threading.Event
    checkpoints: str | None = None
    identity: str = ""  # of data, network and recipe: a checkpoint of another training is not taken


@dataclass
class Trained:
    weights: dict[str, Tensor]  # of the best epoch on the CPU, or of the last one without stop rows
    epochs: int  # after which they stood
    stop_loss: float | None
    history: dict[str, list]
    nondeterministic: list[str]
    seconds: dict[str, float] | None  # data, forward, backward, optimizer; total: steps and what is done between them. None on a GPU, which works on while the clock is read


@dataclass
class State:
    """Where a training is: all of it goes into a checkpoint."""

    step: int = 0
    epoch: int = 0  # epochs that are over
    batches: int = 0  # of this epoch that are over
    loss_sum: float = 0.0  # over the rows of this epoch
    best: float | None = None
    best_epoch: int = 0
    history: dict[str, list] = field(default_factory=lambda: {"steps": [], "epochs": []})


def train(
    network: nn.Module, loss_of: LossOf, samples: Samples, stop: Samples | None, recipe: Recipe, watch: Watch
) -> Trained:
    """Trains in place. Raises Stopped, after a checkpoint, once the watch says so; Failure DIVERGED."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    with nondeterminism() as found:
        training = Training(network, loss_of, samples, stop, recipe, watch)
        training.run()
    return training.result(sorted(found))


@contextlib.contextmanager
def nondeterminism() -> Iterator[set[str]]:
    """Collects the operations that torch warns of as not deterministic; other warnings are shown as ever."""
    found: set[str] = set()
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # else attention is told of once in the life of a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            show = warnings.showwarning

            def hear(message: Warning | str, *rest: Any, **more: Any) -> None:
                if odd := NOT_DETERMINISTIC.match(str(message)):
                    found.add(odd[1])
                else:
                    show(message, *rest, **more)

            warnings.showwarning = hear
            yield found
    finally:
        torch.set_warn_always(always)


class Training:
    def __init__(
        self,
        network: nn.Module,
        loss_of: LossOf,
        samples: Samples,
        stop: Samples | None,
        recipe: Recipe,
        watch: Watch,
    ):
        self.loss_of, self.samples, self.stop, self.recipe, self.watch = loss_of, samples, stop, recipe, watch
        self.accelerator = accelerator(recipe)
        self.world, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.device = self.accelerator.device
        optimizer = torch.optim.AdamW(
            network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.model, self.optimizer = self.accelerator.prepare(network, optimizer)
        # Without the wrapper that would have it predict in less than float32 ever after: learn() asks for that itself.
        self.network = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.batches = len(windows.batches(torch.arange(len(samples)), recipe.batch_size))  # an epoch
        self.total = recipe.epochs * self.batches
        self.schedule = schedule(recipe, optimizer, self.total)
        self.state = State()
        self.best: dict[str, Tensor] = {}
        self.losses: list[Tensor] = []  # of the steps since someone was told, still on the device
        self.seconds = dict.fromkeys(("data", "forward", "backward", "optimizer", "total"), 0.0)
        self.began = self.told = self.saved = time.monotonic()
        self.first = 0  # the step that it was picked up from
        torch.manual_seed(recipe.seed + self.rank)

    def run(self) -> None:
        self.restore()
        last = self.recipe.only_epochs or self.recipe.epochs
        while self.state.epoch < last and not self.is_patience_over():
            self.run_epoch()
        if self.watch.checkpoints:
            self.save()  # so that a kill between here and the model's files costs nothing

    def is_patience_over(self) -> bool:
        patience, state = self.recipe.patience, self.state
        return patience is not None and state.best is not None and state.epoch - state.best_epoch >= patience

    def run_epoch(self) -> None:
        state, size = self.state, self.recipe.batch_size
        began = time.monotonic()
        self.model.train()
        order = windows.order(len(self.samples), self.recipe.seed, state.epoch)
        left = windows.batches(order, size)[state.batches :]
        own = [numbers[self.rank :: self.world] for numbers in left]  # each process its share of every batch
        taken = [mine if len(mine) else numbers[:1] for mine, numbers in zip(own, left, strict=True)]
        made = windows.prefetched(self.samples, taken, self.device.type == "cuda")
        with contextlib.closing(made):
            for numbers, mine in zip(left, own, strict=True):
                started = time.perf_counter()
                batch = next(made)
                self.seconds["data"] += time.perf_counter() - started
                self.learn(batch, len(numbers), bool(len(mine)))
                state.step += 1
                state.batches += 1
                self.after_step()
                self.seconds["total"] += time.perf_counter() - started
        self.end_epoch(time.monotonic() - began)

    def learn(self, batch: tuple[Tensor, Tensor, Tensor | None], rows: int, counts: bool) -> None:
        """One optimizer step. `rows` are those of all processes: the gradient is that of their mean loss.

        A process without a share of a short batch takes part with a row that does not count.
        """
        seconds, clock = self.seconds, time.perf_counter
        pinned = self.device.type == "cuda"  # from other memory a copy may read what the next batch has overwritten
        x, y, weight = (None if part is None else part.to(self.device, non_blocking=pinned) for part in batch)
        size = math.ceil(len(x) / self.recipe.accumulate)
        total = torch.zeros((), device=self.device)
        for start in range(0, len(x), size):
            rest = slice(start, start + size)
            is_last = start + size >= len(x)
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(self.model):
                at = clock()
                with self.accelerator.autocast():
                    answer = self.model(x[rest])
                losses = self.loss_of(answer.float(), y[rest])
                loss = (losses if weight is None else losses * weight[rest]).sum() * counts / rows
                seconds["forward"] += (now := clock()) - at
                self.accelerator.backward(loss * self.world)  # processes average their gradients
                seconds["backward"] += clock() - now
            total += loss.detach()
        at = clock()
        if self.recipe.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.recipe.schedule == "one_cycle":
            self.schedule.step()
        self.losses.append(total)
        seconds["optimizer"] += clock() - at

    def after_step(self) -> None:
        """Stops, checkpoints and speaks at the same step in every process."""
        now = time.monotonic()
        wishes = (
            self.watch.stopping.is_set(),
            self.watch.checkpoints is not None and now - self.saved >= self.recipe.checkpoint_seconds,
            self.state.batches < self.batches and now - self.told >= TOLD_SECONDS,
        )
        stop, save, tell = wishes if self.world == 1 else self.agreed(wishes)
        if self.watch.checkpoints and (stop or save):
            self.save()
        elif tell:
            self.tell(self.take_losses())
        if stop:
            self.accelerator.wait_for_everyone()  # the first one has its checkpoint to write
            raise Stopped

    def agreed(self, wishes: tuple[bool, ...]) -> list[bool]:
        """Each that any process has."""
        flags = torch.tensor([float(wish) for wish in wishes], device=self.device)
        return [bool(count) for count in self.accelerator.reduce(flags, "sum").tolist()]

    def take_losses(self) -> dict[str, float]:
        """Reads the losses of the last steps from the device: what there is to tell of them."""
        state, size = self.state, self.recipe.batch_size
        if not self.losses:
            return {}
        losses = self.accelerator.reduce(torch.stack(self.losses), "sum").tolist()
        self.losses.clear()
        every = math.ceil(self.total / HISTORY_STEPS)
        for step, loss in enumerate(losses, state.step - len(losses) + 1):
            batch = (step - 1) % self.batches
            state.loss_sum += loss * (size if batch < self.batches - 1 else len(self.samples) - batch * size)
            if step % every == 0 or step == self.total:
                state.history["steps"].append({"step": step, "epoch": step / self.batches, "loss": loss})
        if not math.isfinite(sum(losses)):
            reason = f"the loss is {losses[-1]} at step {state.step}; a lower learning_rate, or clip_norm, may keep it"
            raise Failure("DIVERGED", reason)
        seconds = max(time.monotonic() - self.told, 1e-9)
        return {"loss": sum(losses) / len(losses), "rows_per_second": len(losses) * size / seconds}

    def tell(self, metrics: dict[str, float | None]) -> None:
        """Says where the training is."""
        if self.rank == 0 and metrics:
            step, of = self.state.step, (self.recipe.only_epochs or self.recipe.epochs) * self.batches
            known = {
                "epoch": step / self.batches,
                "learning_rate": self.learning_rate(),
                "memory_mb": memory_mb(self.device),
            }
            eta = (time.monotonic() - self.began) / max(1, step - self.first) * (of - step)
            self.watch.emit("progress", step=step, of=of, metrics=known | metrics, eta=eta)
        self.told = time.monotonic()

    def end_epoch(self, seconds: float) -> None:
        state = self.state
        metrics = self.take_losses()
        train_loss = state.loss_sum / len(self.samples)
        stop_loss = None if self.stop is None else self.evaluate(self.stop)
        if stop_loss is not None and not math.isfinite(stop_loss):
            raise Failure("DIVERGED", f"the loss on the stop rows is {stop_loss} after epoch {state.epoch + 1}")
        rate = self.learning_rate()
        state.epoch, state.batches, state.loss_sum = state.epoch + 1, 0, 0.0
        state.history["epochs"].append(
            {
                "epoch": state.epoch,
                "train_loss": train_loss,
                "stop_loss": stop_loss,
                "learning_rate": rate,
                "seconds": seconds,
            }
        )
        if self.recipe.schedule == "plateau":
            self.schedule.step(train_loss if stop_loss is None else stop_loss)
        if stop_loss is not None and (state.best is None or stop_loss < state.best):
            state.best, state.best_epoch = stop_loss, state.epoch
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        self.tell(metrics | {"train_loss": train_loss, "stop_loss": stop_loss, "learning_rate": rate})

    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def evaluate(self, samples: Samples) -> float:
        """Mean loss, of the first process for all: batch norms differ a little between them."""
        total = 0.0
        for numbers in torch.arange(len(samples)).split(4 * self.recipe.batch_size):
            x, y, weight = samples.batch(numbers)
            losses = self.loss_of(answer(self.network, x, self.device).float().cpu(), y)
            total += float((losses if weight is None else losses * weight).double().sum())
        if self.world == 1:
            return total / len(samples)
        return float(broadcast(torch.tensor(total / len(samples), device=self.device)))

    def save(self) -> None:
        """Every process takes part: each has a generator of its own."""
        self.tell(self.take_losses())
        self.saved = time.monotonic()
        generators = self.gathered_generators()
        if self.rank == 0:
            moments = self.optimizer.state_dict()["state"]
            tensors = (
                checkpoint.under("weights.", self.network.state_dict())
                | checkpoint.under("best.", self.best)
                | {f"moments.{i}.{name}": value for i, of in moments.items() for name, value in of.items()}
                | generators
            )
            state = vars(self.state) | {"identity": self.watch.identity}
            state |= {"schedule": self.schedule.state_dict() if self.schedule else None, "groups": self.groups()}
            state |= {"scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None}
            made = Checkpoint(self.state.step, tensors, state)
            path, size = checkpoint.save(self.watch.checkpoints, made, self.recipe.keep_checkpoints)
            self.watch.emit("checkpoint", step=self.state.step, path=path, bytes=size)

    def gathered_generators(self) -> dict[str, Tensor]:
        own = checkpoint.generators(self.device)
        if self.world == 1:
            return checkpoint.under("generators.0.", own)
        found = {}
        for name, state in own.items():
            every = self.accelerator.gather(state.to(self.device)[None]).cpu()
            found |= {f"generators.{rank}.{name}": every[rank] for rank in range(self.world)}
        return found

    def restore(self) -> None:
        """Goes on from the newest checkpoint of this training, where there is one."""
        if not self.watch.checkpoints:
            return
        found, passed = checkpoint.newest(self.watch.checkpoints, self.watch.identity)
        for why in passed if self.rank == 0 else []:
            self.watch.emit("warning", code="CHECKPOINT_UNUSED", message=why)
        if found is None:
            return
        self.network.load_state_dict(checkpoint.part(found.tensors, "weights."))
        self.best = checkpoint.part(found.tensors, "best.")
        self.load_moments(checkpoint.part(found.tensors, "moments."), found.state["groups"])
        if self.schedule:
            self.schedule.load_state_dict(found.state["schedule"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(found.state["scaler"])
        checkpoint.set_generators(checkpoint.part(found.tensors, f"generators.{self.rank}."))
        known = vars(State()).keys()
        self.state = State(**{name: value for name, value in found.state.items() if name in known})
        self.first = self.state.step
        if self.rank == 0:
            self.watch.emit("warning", code="RESUMED", message=f"goes on from step {found.step} of {self.total}")

    def groups(self) -> list[dict[str, Any]]:
        """What a schedule moves, and what goes with it: one cycle moves the betas too."""
        return [{name: value for name, value in group.items() if name != "params"} for group in self.optimizer.param_groups]

    def load_moments(self, moments: dict[str, Tensor], groups: list[dict[str, Any]]) -> None:
        whole = self.optimizer.state_dict()
        whole["state"] = {}
        for name, value in moments.items():
            index, _, what = name.partition(".")
            whole["state"].setdefault(int(index), {})[what] = value
        for group, kept in zip(whole["param_groups"], groups, strict=True):
            group |= kept | {"betas": tuple(kept["betas"])}
        self.optimizer.load_state_dict(whole)

    def result(self, nondeterministic: list[str]) -> Trained:
        state = self.state
        weights = self.best or {name: tensor.detach().cpu() for name, tensor in self.network.state_dict().items()}
        epochs = state.best_epoch if self.best else state.epoch
        seconds = self.seconds if self.device.type == "cpu" else None
        return Trained(weights, epochs, state.best, state.history, nondeterministic, seconds)


def accelerator(recipe: Recipe) -> Accelerator:
    AcceleratorState._reset_state(reset_partial_state=True)  # it outlives the object, and a process does many fits
    device = device_of(recipe.device)
    return Accelerator(cpu=device == "cpu", mixed_precision=PRECISION[precision_of(recipe.precision, device)])


def device_of(asked: str) -> str:
    """What is asked for; auto: the fastest there is. DEVICE_MISSING."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    device = next(name for name in there if there[name]) if asked == "auto" else asked
    if not there[device]:
        raise Failure("DEVICE_MISSING", f"there is no {device} here; device: auto takes what there is")
    return device


def precision_of(asked: str, device: str) -> str:
    """What is asked for; auto: less than float32 on the only hardware where it was seen to be faster. BAD_PARAM."""
    if asked == "float16" and device == "cpu":
        raise Failure("BAD_PARAM", "precision: float16 is for GPUs; a CPU has bfloat16 and float32")
    if asked != "auto":
        return asked
    return "bfloat16" if device == "cuda" and torch.cuda.is_bf16_supported() else "float32"


def schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """One cycle over all epochs (Smith & Topin 2018), less when the loss no longer falls, or none."""
    if recipe.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=max(2, steps) + 1)
    if recipe.schedule == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    return None


@torch.inference_mode()
def answer(network: nn.Module, x: Tensor, device: torch.device) -> Tensor:
    """(B, L, C) -> (B, outputs) in evaluation mode; the mode is as it was afterwards."""
    was = network.training
    network.eval()
    try:
        return network(x.to(device))
    finally:
        network.train(was)


def memory_mb(device: torch.device) -> float:
    """Resident size of this process, or what CUDA has given it."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / (1 << 20)
    import psutil

    return psutil.Process().memory_info().rss / (1 << 20)
