"""One request for a network, from dataset to files. Shares rows, preparation and artefacts with the other kinds."""

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from .. import artefacts, data, deep, export, fit, prepare
from ..prepare import Defaults, Preparation
from ..protocol import Categories, Export, Failure, Fit, Forecast, Measured, treatments
from . import graph, int8, trainer, windows
from .ahead import Ahead, ahead_of, check_known, check_reach, columns_of, errors
from .answers import full_passes, named, onnx_predictions, predictions, rows_at_once
from .losses import LossOf, loss_of
from .trainer import Recipe, Trained, Watch
from .windows import Samples, Windows

NUMBERS = Defaults(impute="median", scale="standard")
NUMBER_TASKS = ("regression", "forecast")
ROWS_AT_ONCE = 1 << 16


@dataclass
class Material:
    """What a network is trained on and judged by."""

    raw: data.Sequence  # as the graph will be given it
    prepared: Preparation
    windows: Windows  # of every sample of the dataset, prepared
    learned: np.ndarray | None  # (T, C) training rows where they are not prepared as others are: target encodings
    y: np.ndarray | Ahead  # (N,) class numbers, or numbers; -1 or NaN where the label is unknown. Rows to forecast
    weight: np.ndarray | None  # (K,) by class
    scale: tuple[np.ndarray, np.ndarray]  # shift and scale of each output that is a number

    def shape(self) -> list[int]:
        """Of a sample as the graph will be given it: [F], or [L, F]."""
        features = self.raw.features.shape[1]
        return [features] if self.windows.length == 1 else [self.windows.length, features]


def run(request: Fit, engine: fit.Engine, emit: fit.Emit, stopping: threading.Event) -> dict[str, Any]:
    """Trains, predicts and writes; answers the fields of `done`."""
    start = prepared_start(request, engine)
    began = time.perf_counter()
    if request.weights:
        trained = read_trained(request.weights, identity(request))
    elif start.recipe.processes > 1:
        from . import processes

        trained = processes.train(request, start.recipe, emit, stopping)
    else:
        trained = train(request, start, emit, stopping)
    seconds = time.perf_counter() - began
    start.network.load_state_dict(trained.weights)
    return finish(request, start, trained, seconds)


def trained_here(request: Fit, engine: fit.Engine, emit: fit.Emit, stopping: threading.Event) -> Trained:
    """The training alone, in this process."""
    return train(request, prepared_start(request, engine), emit, stopping)


def check_folders(request: Fit) -> None:
    for folder in (request.out, request.checkpoints):
        if folder is not None and not os.path.isdir(folder):
            raise Failure("BAD_REQUEST", f"{folder} is no folder")


@dataclass
class Start:
    """What a training begins with."""

    params: dict[str, Any]
    recipe: Recipe
    material: Material
    network: nn.Module  # with its first weights
    train: np.ndarray  # (T,) samples
    stop: np.ndarray  # (S,)


def prepared_start(request: Fit, engine: fit.Engine) -> Start:
    check_folders(request)
    family = deep.load(request.model.kind)
    params = parameters(request, family)
    recipe = recipe_of(params, request)
    torch.set_num_threads(recipe.threads or os.cpu_count() or 1)
    raw = source(request, engine, params["context"])
    train, judges = (indices(data.row_numbers(rows, len(raw.ends))) for rows in (request.rows.train, request.rows.stop))
    stop = judges[:0] if recipe.patience is None else judges
    learned = np.concatenate([train, judges if params.get("int8") else stop])
    if request.dataset.forecast:
        check_reach(raw, request.dataset.forecast.horizon, learned)
    material = gather(request, engine, params, raw, train, learned)
    if isinstance(material.y, Ahead):
        check_known(material.y, learned)
    return Start(params, recipe, material, built(family, params, material, request), train, stop)


def train(request: Fit, start: Start, emit: fit.Emit, stopping: threading.Event) -> Trained:
    task, material, loss = request.dataset.task, start.material, loss_in(request, start)
    samples, stop = (samples_of(material, rows, task) for rows in (start.train, start.stop))
    if material.learned is not None:
        samples.windows = Windows(torch.from_numpy(material.learned), torch.arange(len(samples)), 1)
    watch = Watch(emit, stopping, request.checkpoints, identity(request))
    return trainer.train(start.network, loss, samples, stop if len(stop) else None, start.recipe, watch)


def loss_in(request: Fit, start: Start) -> LossOf:
    outputs = outputs_of(start.network, start.material.windows)
    return loss_of(request.dataset.task, outputs, start.params["loss"], start.params["quantile"])


def read_trained(path: str, wanted: str) -> Trained:
    """What `written` made; of another training it is a BAD_REQUEST."""
    try:
        with safe_open(path, "pt") as file:
            known = json.loads(file.metadata()["trained"])
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise Failure("BAD_REQUEST", f"{path} holds no trained network: {error}") from None
    if known.pop("identity") != wanted:
        raise Failure("BAD_REQUEST", f"{path} is of another training")
    return Trained(weights=weights, **known)


def written(trained: Trained, own: str) -> bytes:
    known = {name: value for name, value in vars(trained).items() if name != "weights"}
    return safetensors_bytes(trained.weights, {"trained": json.dumps(known | {"identity": own})})


def finish(request: Fit, start: Start, trained: Trained, seconds: float) -> dict[str, Any]:
    """Predictions and files of a network whose weights are the best ones."""
    material, task, threads = start.material, request.dataset.task, start.recipe.threads or 1
    network = start.network.to("cpu")
    answer = answer_of(request, material, network)
    metrics = described(trained, seconds, network, task)
    files = {
        "history.json": json.dumps(trained.history).encode(),
        "model.safetensors": written(trained, identity(request)),
    }
    read, body, is_int8, began = partial(full_passes, network), None, start.params.get("int8", False), time.perf_counter()
    if is_int8 or isinstance(request, Export):
        body = graph.network_proto(network, material.windows.length, material.windows.rows.shape[1])
    if is_int8:
        body = int8.quantized(body)
    exporting = time.perf_counter() - began
    if is_int8:
        exact, read = read, int8.Reader(body, threads)
        metrics |= int8.cost(exact, read, loss_in(request, start), some_samples(request, start))
    rows = indices(data.row_numbers(request.rows.predict, len(material.raw.ends)))
    predicted = predictions(read, material.windows, rows, answer)
    columns = named(predicted, request.dataset.forecast)
    if isinstance(material.y, Ahead):
        by_step = errors(material.y, rows, predicted)
        metrics |= {name: fit.number(values.mean()) for name, values in by_step.items()}
        listed = {name: [fit.number(value) for value in values] for name, values in by_step.items()}
        files["errors.json"] = json.dumps(listed).encode()
    if isinstance(request, Export):
        began = time.perf_counter()
        files["model.onnx"] = graph.graph(material.prepared, body, answer, material.shape(), task)
        metrics["export_seconds"] = exporting + time.perf_counter() - began
        at_once = 1 if is_int8 else rows_at_once(math.prod(material.shape()))
        again = onnx_predictions(files["model.onnx"], material.raw, material.windows.length, rows, answer, threads, at_once)
        columns |= {f"onnx_{name}": values for name, values in named(again, request.dataset.forecast).items()}
        wide = np.maximum(1, predicted.std(axis=0, dtype=np.float64)) if len(rows) else 1  # float32 computes at that size
        metrics["parity"] = fit.difference(predicted, again, wide)
    files["predictions.arrow"] = artefacts.arrow_file(columns)
    return {
        "artefacts": [artefacts.write(request.out, name, content) for name, content in files.items()],
        "metrics": metrics,
        "iterations": trained.epochs,
        "importances": None,
        "nondeterministic": trained.nondeterministic,
    }


def some_samples(request: Fit, start: Start) -> Samples:
    """Those that judge a change of the network: rows that stopped it, or else that it learned from, evenly spread."""
    rows = indices(data.row_numbers(request.rows.stop, len(start.material.raw.ends)))
    rows = rows if len(rows) else start.train
    spread = np.linspace(0, len(rows) - 1, min(len(rows), int8.MEASURED)).astype(np.int64)
    return samples_of(start.material, rows[spread], request.dataset.task)


def described(trained: Trained, seconds: float, network: nn.Module, task: str) -> dict[str, float | None]:
    """Figures of a training. Seconds of its steps: `other` is what is neither forward, backward nor optimizer."""
    took = trained.seconds or {}
    other = took["total"] - took["forward"] - took["backward"] - took["optimizer"] if took else None
    metrics: dict[str, float | None] = {
        "parameters": parameters_of(network),
        "model_bytes": sum(value.nbytes for value in trained.weights.values()),
        "train_seconds": seconds,
        "step_seconds": took.get("total"),
        "data_seconds": took.get("data"),
        "other_seconds": other,
    }
    if trained.stop_loss is not None:
        metrics["stop_loss" if task in NUMBER_TASKS else "stop_log_loss"] = trained.stop_loss
    return metrics


def parameters_of(network: nn.Module) -> int:
    """Trainable ones."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def parameters(request: Fit | Measured, family: ModuleType) -> dict[str, Any]:
    """What every family takes and its own, overlaid with what was asked for. UNKNOWN_PARAM."""
    known = deep.TRAINING | {"class_weight": None} | family.DEFAULTS
    unknown = sorted(request.model.params.keys() - known.keys())
    if unknown:
        kind = request.model.kind
        raise Failure("UNKNOWN_PARAM", f"{kind} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    return known | request.model.params


def recipe_of(params: dict[str, Any], request: Fit) -> Recipe:
    own = {field: params[field] for field in Recipe.__dataclass_fields__ if field in params}
    own |= {"seed": request.model.seed, "only_epochs": request.iterations}
    if request.iterations is not None:
        own["patience"] = None
    try:
        return msgspec.convert(own, Recipe)
    except msgspec.ValidationError as error:
        raise Failure("BAD_PARAM", f"{request.model.kind}: {error}") from None


def gather(
    request: Fit, engine: fit.Engine, params: dict[str, Any], raw: data.Sequence, train: np.ndarray, learned: np.ndarray
) -> Material:
    """Rows, labels and preparation, as training rows alone teach it; `learned`: those and the ones that stop it."""
    dataset, context = request.dataset, params["context"]
    fit.check_encodings(request, native=False)
    short = np.flatnonzero(raw.before() < context - 1)
    if len(short):
        reason = f"a sample ends with row {raw.ends[short[0]]}, before which its symbol has no {context - 1}"
        raise Failure("BAD_REQUEST", reason)
    balanced = fit.class_weight(params["class_weight"], dataset.task)
    y = np.zeros(len(raw.ends)) if dataset.forecast else labels(request, engine.table(request).label, learned)
    fit.check_classes(y[train], dataset.classes, dataset.task)
    what = (*data.key(dataset), tuple(dataset.classes), dataset.task, data.rows_key(request.rows.train), context)
    what = (*what, msgspec.json.encode(dataset.forecast))
    how = (*treatments(request), request.model.prepare.numbers.scale, NUMBERS, request.model.seed)
    prepared, rows, learned = engine.prepared.get((what, how), lambda: learn(request, raw, train, y[train], context))
    made = Windows(torch.from_numpy(rows), torch.from_numpy(raw.ends), context)
    weight = data.class_weights(y[train], len(dataset.classes)) if balanced else None
    if dataset.forecast:
        ahead = ahead_of(raw, dataset.forecast, dataset.features, prepared)
        scale = (np.tile(ahead.shift, ahead.horizon), np.tile(ahead.scale, ahead.horizon))
        return Material(raw, prepared, made, learned, ahead, weight, scale)
    scale = scale_of(y[train]) if dataset.task == "regression" else (np.zeros(1), np.ones(1))
    return Material(raw, prepared, made, learned, y, weight, scale)


def labels(request: Fit, label: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """(N,) class numbers, or numbers; -1 or NaN where the label is unknown, which it may be in no row that is learned from."""
    dataset = request.dataset
    data.targets(label[learned], dataset)
    y = np.full(len(label), np.nan) if dataset.task == "regression" else np.full(len(label), -1)
    known = np.isfinite(label)
    y[known] = data.targets(label[known], dataset)
    return y


def source(request: Fit, engine: fit.Engine, context: int) -> data.Sequence:
    """Rows that windows are cut from: those of the sequence, or of a dataset whose rows stand for themselves."""
    if is_alone(request, context):
        features = engine.table(request).features
        return data.Sequence(features, np.arange(len(features)), np.zeros(1, np.int64))
    if request.dataset.sequence is None:
        raise Failure("BAD_REQUEST", f"a context of {context} rows needs a sequence; these rows stand for themselves")
    return data.load_sequence(request.dataset)


def is_alone(request: Fit, context: int) -> bool:
    """Whether a sample is told by its own row and no other."""
    return context == 1 and request.dataset.forecast is None


def learn(
    request: Fit, raw: data.Sequence, train: np.ndarray, y: np.ndarray, context: int
) -> tuple[Preparation, np.ndarray, np.ndarray | None]:
    """What the rows of the training windows and of their horizons teach; every row prepared, (M, C) in a mapped file; training rows if they differ."""
    own = None
    if is_alone(request, context):
        prepared, own = fit.learn(request, NUMBERS, raw.features[train], y)
    else:
        check_no_target_encoding(request)
        horizon = request.dataset.forecast.horizon if request.dataset.forecast else 0
        read = windows.covered(len(raw.features), raw.ends[train] + horizon, context + horizon)
        prepared, _ = fit.learn(request, NUMBERS, raw.features[read], np.zeros(int(read.sum()), y.dtype))
    rows = windows.map_rows(request.out, (len(raw.features), len(prepared.sources())))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        rows[block] = prepare.apply(prepared, raw.features[block])
    return prepared, rows, own.astype(np.float32) if own is not None and "target" in encodings(request) else None


def encodings(request: Fit) -> list[str]:
    return [how.encode for how in treatments(request) if isinstance(how, Categories)]


def check_no_target_encoding(request: Fit) -> None:
    if "target" in encodings(request):
        reason = f"{request.model.kind} reads rows before its own, which have no label to encode by; encode one_hot or ordinal"
        raise Failure("ENCODING_UNSUPPORTED", reason)


def scale_of(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of training labels, (1,) each; a constant one has the deviation 1."""
    return np.array([y.mean()]), np.array([y.std() or 1.0])


def built(family: ModuleType, params: dict[str, Any], material: Material, request: Fit) -> nn.Module:
    """The network with its first weights, by the seed."""
    torch.manual_seed(request.model.seed)
    channels, ahead = material.windows.rows.shape[1], material.y
    if not isinstance(ahead, Ahead):
        return network_of(family, params, channels, request.dataset.task, len(request.dataset.classes))
    return forecaster_of(family, params, channels, ahead.horizon, columns_of(material.prepared, ahead.of).tolist())


def network_of(family: ModuleType, params: dict[str, Any], channels: int, task: str, classes: int) -> nn.Module:
    outputs = {"binary": family.BINARY, "multiclass": classes, "regression": 1}[task]
    return made_by(partial(family.network, params, channels, params["context"], outputs))


def forecaster_of(family: ModuleType, params: dict[str, Any], channels: int, horizon: int, of: list[int]) -> nn.Module:
    """The family's own way to forecast, or its network with an output for each value."""
    length = params["context"]
    if hasattr(family, "forecaster"):
        return made_by(partial(family.forecaster, params, channels, length, horizon, of))
    return made_by(partial(family.network, params, channels, length, horizon * len(of)))


def made_by(make: Callable[[], nn.Module]) -> nn.Module:
    """What a library raises on its parameters is the request's failure, in the library's words."""
    try:
        return make()
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        raise Failure("FIT_FAILED", f"{type(error).__name__}: {fit.first_line(error)}") from error


def samples_of(material: Material, rows: np.ndarray, task: str) -> Samples:
    ends = material.windows.ends[torch.from_numpy(rows)]
    read = Windows(material.windows.rows, ends, material.windows.length)
    if isinstance(material.y, Ahead):
        return Samples(read, material.y.at(rows), None)
    y, (shift, scale) = material.y[rows], material.scale
    scaled = (y - shift) / scale if task == "regression" else y
    made = torch.from_numpy(scaled.astype(np.float32 if task == "regression" else np.int64))
    weight = None if material.weight is None else torch.from_numpy(material.weight[y].astype(np.float32))
    return Samples(read, made, weight)


def outputs_of(network: nn.Module, read: Windows) -> int:
    return trainer.answer(network, torch.zeros(2, read.length, read.rows.shape[1]), torch.device("cpu")).shape[1]


def answer_of(request: Fit, material: Material, network: nn.Module) -> graph.Answer:
    if request.dataset.task in NUMBER_TASKS:
        return graph.Answer("identity", len(material.scale[0]), *material.scale)
    outputs = outputs_of(network, material.windows)
    return graph.Answer("sigmoid", 2) if outputs == 1 else graph.Answer("softmax", outputs)


def indices(rows: np.ndarray | slice) -> np.ndarray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else np.asarray(rows, np.int64)


def identity(request: Fit) -> str:
    """Of all that decides on a training."""
    rows = [data.rows_key(part) for part in (request.rows.train, request.rows.stop)]
    dataset = msgspec.to_builtins(request.dataset) | {"path": None}
    if dataset["sequence"]:
        dataset["sequence"] |= {"path": None}
    decides = (dataset, request.model, rows)
    return hashlib.sha256(msgspec.json.encode((*decides, request.iterations))).hexdigest()
