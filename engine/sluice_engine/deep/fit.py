"""One request for a network, from dataset to files. Shares rows, preparation and artefacts with the other kinds."""

import hashlib
import json
import math
import os
import threading
import time
from dataclasses import dataclass
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
from ..protocol import Categories, Export, Failure, Fit, Measured, treatments
from . import graph, trainer, windows
from .losses import loss_of
from .trainer import Recipe, Trained, Watch
from .windows import Samples, Windows

NUMBERS = Defaults(impute="median", scale="standard")
ROWS_AT_ONCE = 1 << 16
PREDICTED = 256  # rows of every pass: kernels round by the size of a batch, and a row's answer must not depend on it


@dataclass
class Material:
    """What a network is trained on and judged by."""

    raw: data.Sequence  # as the graph will be given it
    prepared: Preparation
    windows: Windows  # of every sample of the dataset, prepared
    learned: np.ndarray | None  # (T, C) training rows where they are not prepared as others are: target encodings
    y: np.ndarray  # (N,) class numbers, or numbers; -1 or NaN where the label is unknown
    weight: np.ndarray | None  # (K,) by class
    scale: tuple[float, float]  # shift and scale of labels that are numbers


def run(request: Fit, engine: fit.Engine, emit: fit.Emit, stopping: threading.Event) -> dict[str, Any]:
    """Trains, predicts and writes; answers the fields of `done`."""
    family = deep.load(request.model.kind)
    params = parameters(request, family)
    recipe = recipe_of(params, request)
    torch.set_num_threads(recipe.threads or os.cpu_count() or 1)
    count = len(engine.table(request).label)
    parts = (request.rows.train, stop_rows(request, recipe))
    train, stop = (indices(data.row_numbers(rows, count)) for rows in parts)
    material = gather(request, engine, params, train)
    network = built(family, params, material, request)
    began = time.perf_counter()
    if request.weights:
        trained = read_trained(request.weights, identity(request))
    else:
        watch = Watch(emit, stopping, request.checkpoints, identity(request))
        trained = train_network(network, params, material, (train, stop), recipe, watch, request)
    seconds = time.perf_counter() - began
    network.load_state_dict(trained.weights)
    return finish(request, network, trained, material, recipe, seconds)


def read_trained(path: str, wanted: str) -> Trained:
    """What write_trained wrote; of another training it is a BAD_REQUEST."""
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


def finish(
    request: Fit, network: nn.Module, trained: Trained, material: Material, recipe: Recipe, seconds: float
) -> dict[str, Any]:
    """Predictions and files of a network whose weights are the best ones."""
    answer, task = answer_of(request, material, network), request.dataset.task
    rows = indices(data.row_numbers(request.rows.predict, len(material.y)))
    network.to("cpu")
    predicted = predictions(network, material.windows, rows, answer)
    columns = fit.named(predicted)
    metrics = described(trained, seconds, network, task)
    files = {
        "history.json": json.dumps(trained.history).encode(),
        "model.safetensors": written(trained, identity(request)),
    }
    if isinstance(request, Export):
        at = time.perf_counter()
        shape = [material.raw.features.shape[1]]
        if material.windows.length > 1:
            shape.insert(0, material.windows.length)
        channels = material.windows.rows.shape[1]
        files["model.onnx"] = graph.graph(material.prepared, network, answer, shape, channels, task)
        metrics["export_seconds"] = time.perf_counter() - at
        again = onnx_predictions(files["model.onnx"], material, rows, predicted.shape[1], recipe.threads or 1)
        columns |= {f"onnx_{name}": values for name, values in fit.named(again).items()}
        metrics["parity"] = fit.difference(predicted, again)
    files["predictions.arrow"] = artefacts.arrow_file(columns)
    return {
        "artefacts": [artefacts.write(request.out, name, content) for name, content in files.items()],
        "metrics": metrics,
        "iterations": trained.epochs,
        "importances": None,
        "nondeterministic": trained.nondeterministic,
    }


def described(trained: Trained, seconds: float, network: nn.Module, task: str) -> dict[str, float | None]:
    """Figures of a training. Seconds of its steps: `other` is what is neither forward, backward nor optimizer."""
    took = trained.seconds
    other = took["total"] - took["forward"] - took["backward"] - took["optimizer"]
    metrics: dict[str, float | None] = {
        "parameters": parameters_of(network),
        "model_bytes": sum(value.nbytes for value in trained.weights.values()),
        "train_seconds": seconds,
        "step_seconds": took["total"],
        "data_seconds": took["data"],
        "other_seconds": other,
    }
    if trained.stop_loss is not None:
        metrics["stop_loss" if task == "regression" else "stop_log_loss"] = trained.stop_loss
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


def stop_rows(request: Fit, recipe: Recipe) -> Any:
    return request.rows.stop if recipe.patience is not None else []


def gather(request: Fit, engine: fit.Engine, params: dict[str, Any], train: np.ndarray) -> Material:
    """Rows, labels and preparation, as training rows alone teach it."""
    dataset, context = request.dataset, params["context"]
    table = engine.table(request)
    fit.check_encodings(request, native=False)
    raw = source(request, engine, context)
    if len(raw.ends) and raw.ends.min() < context - 1:
        raise Failure("BAD_REQUEST", f"a sample ends with row {raw.ends.min()}, before which there are no {context - 1}")
    labelled = data.targets(table.label[train], dataset)
    fit.check_classes(labelled, dataset.classes, dataset.task)
    balanced = fit.class_weight(params["class_weight"], dataset.task)
    y = np.full(len(table.label), np.nan) if dataset.task == "regression" else np.full(len(table.label), -1)
    known = np.isfinite(table.label)
    y[known] = data.targets(table.label[known], dataset)
    what = (*data.key(dataset), tuple(dataset.classes), dataset.task, data.rows_key(request.rows.train), context)
    how = (*treatments(request), request.model.prepare.numbers.scale, NUMBERS, request.model.seed)
    prepared, rows, learned = engine.prepared.get((what, how), lambda: learn(request, raw, train, y[train], context))
    return Material(
        raw=raw,
        prepared=prepared,
        windows=Windows(torch.from_numpy(rows), torch.from_numpy(raw.ends), context),
        learned=learned,
        y=y,
        weight=data.class_weights(labelled, len(dataset.classes)) if balanced else None,
        scale=scale_of(labelled) if dataset.task == "regression" else (0.0, 1.0),
    )


def source(request: Fit, engine: fit.Engine, context: int) -> data.Sequence:
    """Rows that windows are cut from: those of the sequence, or of a dataset whose rows stand for themselves."""
    if context == 1:
        features = engine.table(request).features
        return data.Sequence(features, np.arange(len(features)))
    if request.dataset.sequence is None:
        raise Failure("BAD_REQUEST", f"a context of {context} rows needs a sequence; these rows stand for themselves")
    return data.load_sequence(request.dataset)


def learn(
    request: Fit, raw: data.Sequence, train: np.ndarray, y: np.ndarray, context: int
) -> tuple[Preparation, np.ndarray, np.ndarray | None]:
    """What the rows of the training windows teach; every row prepared, (M, C) in a mapped file; training rows if they differ."""
    own = None
    if context == 1:
        prepared, own = fit.learn(request, NUMBERS, raw.features[train], y)
    else:
        check_no_target_encoding(request)
        read = windows.covered(len(raw.features), raw.ends[train], context)
        labels = np.zeros(int(read.sum()), y.dtype)
        prepared, _ = fit.learn(request, NUMBERS, raw.features[read], labels)
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


def scale_of(y: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of training labels; a constant one has the deviation 1."""
    return float(y.mean()), float(y.std()) or 1.0


def built(family: ModuleType, params: dict[str, Any], material: Material, request: Fit) -> nn.Module:
    """The network with its first weights, by the seed."""
    torch.manual_seed(request.model.seed)
    channels = material.windows.rows.shape[1]
    return network_of(family, params, channels, request.dataset.task, len(request.dataset.classes))


def network_of(family: ModuleType, params: dict[str, Any], channels: int, task: str, classes: int) -> nn.Module:
    """What a library raises on its parameters is the request's failure, in the library's words."""
    outputs = {"binary": family.BINARY, "multiclass": classes, "regression": 1}[task]
    try:
        return family.network(params, channels, params["context"], outputs)
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        raise Failure("FIT_FAILED", f"{type(error).__name__}: {fit.first_line(error)}") from error


def train_network(
    network: nn.Module,
    params: dict[str, Any],
    material: Material,
    parts: tuple[np.ndarray, np.ndarray],
    recipe: Recipe,
    watch: Watch,
    request: Fit,
) -> Trained:
    task = request.dataset.task
    loss = loss_of(task, outputs_of(network, material.windows), params["loss"], params["quantile"])
    samples, stop = (samples_of(material, rows, task) for rows in parts)
    if material.learned is not None:
        samples.windows = Windows(torch.from_numpy(material.learned), torch.arange(len(samples)), 1)
    return trainer.train(network, loss, samples, stop if len(stop) else None, recipe, watch)


def samples_of(material: Material, rows: np.ndarray, task: str) -> Samples:
    y, (shift, scale) = material.y[rows], material.scale
    labels = (y - shift) / scale if task == "regression" else y
    made = torch.from_numpy(labels.astype(np.float32 if task == "regression" else np.int64))
    ends = material.windows.ends[torch.from_numpy(rows)]
    weight = None if material.weight is None else torch.from_numpy(material.weight[y].astype(np.float32))
    return Samples(Windows(material.windows.rows, ends, material.windows.length), made, weight)


def outputs_of(network: nn.Module, read: Windows) -> int:
    return trainer.answer(network, torch.zeros(2, read.length, read.rows.shape[1]), torch.device("cpu")).shape[1]


def answer_of(request: Fit, material: Material, network: nn.Module) -> graph.Answer:
    if request.dataset.task == "regression":
        return graph.Answer("identity", *material.scale)
    return graph.Answer("sigmoid" if outputs_of(network.to("cpu"), material.windows) == 1 else "softmax")


def predictions(network: nn.Module, read: Windows, rows: np.ndarray, answer: graph.Answer) -> np.ndarray:
    """(N, K) float32 probabilities, or (N, 1) values. NOT_FINITE."""
    made = [np.empty((0, {"sigmoid": 2, "identity": 1}.get(answer.link, outputs_of(network, read))))]
    numbers = torch.from_numpy(rows)
    for start in range(0, len(rows), PREDICTED):
        block = numbers[start : start + PREDICTED]
        full = torch.cat([block, block[-1:].expand(PREDICTED - len(block))])
        scores = trainer.answer(network, read.batch(full), torch.device("cpu"))[: len(block)]
        made.append(linked(scores.double(), answer).numpy())
    predicted = np.concatenate(made)
    with np.errstate(over="ignore"):
        predicted = predicted.astype(np.float32)
    if not np.isfinite(predicted).all():
        raise Failure("NOT_FINITE", "the model predicts values that are not finite")
    return predicted


def linked(scores: Tensor, answer: graph.Answer) -> Tensor:
    if answer.link == "softmax":
        return scores.softmax(1)
    if answer.link == "identity":
        return scores * answer.scale + answer.shift
    one = scores.sigmoid()
    return torch.cat([1 - one, one], 1)


def onnx_predictions(model: bytes, material: Material, rows: np.ndarray, columns: int, threads: int) -> np.ndarray:
    """What onnxruntime makes of raw rows."""
    raw, length = material.raw, material.windows.length
    session = export.session(model, threads)
    made = [np.empty((0, columns), np.float32)]
    for block in np.array_split(rows, math.ceil(len(rows) / rows_at_once(length * raw.features.shape[1])) or 1):
        ends = raw.ends[block]
        if len(ends):
            given = raw.features[ends] if length == 1 else raw.features[ends[:, None] + np.arange(1 - length, 1)]
            made.append(session.run(None, {"features": np.ascontiguousarray(given)})[0])
    return np.concatenate(made)


def rows_at_once(values: int) -> int:
    """Rows of so many values each that take 16 MB together."""
    return max(1, (1 << 22) // values)


def indices(rows: np.ndarray | slice) -> np.ndarray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else np.asarray(rows, np.int64)


def identity(request: Fit) -> str:
    """Of all that decides on a training."""
    rows = [data.rows_key(part) for part in (request.rows.train, request.rows.stop)]
    decides = (request.dataset.digest, request.dataset.features, request.dataset.label, request.model, rows)
    return hashlib.sha256(msgspec.json.encode((*decides, request.iterations))).hexdigest()
