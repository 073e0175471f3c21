"""One request from dataset to files: the story of the engine. Which library does it is a row in models.KINDS."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import artefacts, data, deep, models, prepare, structure
from .models.job import Fitted, Job
from .prepare import Defaults, Preparation
from .protocol import Categories, Export, Failure, Fit, Stopped, treatments

Emit = Callable[..., None]  # emit(event, **fields)
LOSS = {"binary": "stop_log_loss", "multiclass": "stop_log_loss", "regression": "stop_rmse"}


class Engine:
    """Holds what is worth keeping between requests: raw matrices, prepared ones, and the quantised ones of each family."""

    def __init__(self, threads: int = 1):
        self.threads = threads
        self.tables = data.Cache(2)
        self.prepared = data.Cache(2)
        self.quantised = data.Cache(4)

    def run(self, request: Fit, emit: Emit, stopping: threading.Event) -> dict[str, Any]:
        """Fits, predicts and writes; answers the fields of `done`. Failure for what the request is to blame for."""
        if request.model.kind in deep.FAMILIES:
            from .deep import fit as networks

            return networks.run(request, self, emit, stopping)
        kind = models.load(request.model.kind)
        if request.dataset.task == "forecast":
            raise Failure("TASK_UNSUPPORTED", f"{request.model.kind} predicts one value; only networks forecast rows")
        table = self.table(request)
        job, prepared = gather(request, kind, table, self, emit, stopping)
        fitted = fit(kind, job)
        rows = table.features[data.row_numbers(request.rows.predict, len(table.label))]
        predicted = predict(kind, fitted, prepare.apply(prepared, rows), job)
        columns = named(predicted)
        metrics = {} if fitted.stop_loss is None else {LOSS[job.task]: float(fitted.stop_loss)}
        shape = kind.structure(fitted.model, job)
        metrics["model_bytes"] = structure.size(shape)
        files: dict[str, bytes] = {}
        if isinstance(request, Export):
            graph = onnx_graph(prepared, shape, table.features.shape[1], job.task)
            files = {"model.onnx": graph} | kind.native(fitted.model, job)
            again = onnx_predict(files["model.onnx"], rows, predicted.shape[1], self.threads)
            columns |= {f"onnx_{name}": values for name, values in named(again).items()}
            metrics["parity"] = difference(predicted, again)
        files["predictions.arrow"] = artefacts.arrow_file(columns)
        written = [artefacts.write(request.out, name, content) for name, content in files.items()]
        importances = shares(request.dataset.features, fitted.importances, prepared)
        return {"artefacts": written, "metrics": metrics, "iterations": fitted.iterations, "importances": importances}

    def table(self, request: Fit) -> data.Table:
        return self.tables.get(data.key(request.dataset), lambda: data.load(request.dataset))


def gather(
    request: Fit, kind: Any, table: data.Table, engine: Engine, emit: Emit, stopping: threading.Event
) -> tuple[Job, Preparation]:
    """Rows, weights and parameters of the fit, checked, and how the rows were prepared."""
    if not os.path.isdir(request.out):
        raise Failure("BAD_REQUEST", f"out is no directory: {request.out}")
    dataset, params = request.dataset, parameters(request, kind)
    balanced = class_weight(params.pop("class_weight"), dataset.task)
    rounds = patience(params.pop("early_stopping_rounds"), request, kind, emit)
    stop_rows = request.rows.stop if rounds else []
    train, stop = (data.row_numbers(rows, len(table.label)) for rows in (request.rows.train, stop_rows))
    y, y_stop = (data.targets(table.label[rows], dataset) for rows in (train, stop))
    check_classes(y, dataset.classes, dataset.task)
    weights = data.class_weights(y, len(dataset.classes)) if balanced else None
    check_encodings(request, kind.NATIVE)
    what = (*data.key(dataset), tuple(dataset.classes), dataset.task, data.rows_key(request.rows.train))
    how = (*treatments(request), request.model.prepare.numbers.scale, kind.NUMBERS, request.model.seed)
    prepared, x = engine.prepared.get((what, how), lambda: learn(request, kind.NUMBERS, table.features[train], y))
    key = (what, how, request.model.kind, balanced, data.rows_key(stop_rows))
    job = Job(
        task=dataset.task,
        classes=len(dataset.classes),
        x=x,
        y=y,
        weight=None if weights is None else weights[y],
        x_stop=prepare.apply(prepared, table.features[stop]),
        y_stop=y_stop,
        weight_stop=None if weights is None else weights[y_stop],
        native=prepared.native,
        rounds=rounds if len(y_stop) else None,
        params=params,
        seed=request.model.seed,
        threads=engine.threads,
        out=request.out,
        cached=lambda made_with, make: engine.quantised.get((*key, *made_with), make),
        progress=Progress(emit, stopping, LOSS[dataset.task]),
        warn=lambda code, message: emit("warning", code=code, message=message),
    )
    return job, prepared


def learn(request: Fit, defaults: Defaults, x: np.ndarray, y: np.ndarray) -> tuple[Preparation, np.ndarray]:
    """The preparation of raw training rows, and what they are then. More than two classes are a 0/1 label each."""
    dataset, model = request.dataset, request.model
    labels = y[:, None] == np.arange(len(dataset.classes)) if dataset.task == "multiclass" else y[:, None]
    words = [dataset.categories.get(name, 0) for name in dataset.features]
    how = treatments(request)
    return prepare.fit(x, labels.astype(np.float64), how, words, defaults, model.prepare.numbers.scale, model.seed)


def check_encodings(request: Fit, native: bool) -> None:
    asked = any(isinstance(how, Categories) and how.encode == "native" for how in treatments(request))
    if asked and not native:
        reason = f"{request.model.kind} cannot split by categories as they are; encode them one_hot, ordinal or target"
        raise Failure("ENCODING_UNSUPPORTED", reason)


def parameters(request: Fit, kind: Any) -> dict[str, Any]:
    """The kind's defaults overlaid with what was asked for (null is the library's None) and the iterations. UNKNOWN_PARAM."""
    known = {"class_weight": None, "early_stopping_rounds": None} | kind.DEFAULTS
    unknown = sorted(request.model.params.keys() - known.keys())
    if unknown:
        reason = f"{request.model.kind} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        raise Failure("UNKNOWN_PARAM", reason)
    params = known | request.model.params
    if request.iterations is None:
        return params
    if kind.TREES is None:
        raise Failure("BAD_REQUEST", f"{request.model.kind} has no iterations to fix")
    return params | {kind.TREES: request.iterations}


def patience(rounds: Any, request: Fit, kind: Any, emit: Emit) -> int | None:
    """Iterations without a better loss before the fit ends; None where nothing ends it early."""
    if rounds is not None and not (isinstance(rounds, int) and rounds > 0):
        raise Failure("BAD_PARAM", f"early_stopping_rounds is {rounds!r}, not a whole number above 0")
    if rounds and not kind.STOPS_EARLY:
        emit("warning", code="PARAM_UNUSED", message=f"{request.model.kind} does not stop early")
    return rounds if kind.STOPS_EARLY and request.iterations is None else None


def class_weight(value: Any, task: str) -> bool:
    if value not in (None, "balanced"):
        raise Failure("BAD_PARAM", f'class_weight is {value!r}, not null or "balanced"')
    if value and task in ("regression", "forecast"):
        raise Failure("BAD_PARAM", f"class_weight needs classes; the task is {task}")
    return value is not None


def check_classes(y: np.ndarray, classes: list[float], task: str) -> None:
    if len(y) == 0:
        raise Failure("NO_ROWS", "there are no training rows")
    if task in ("regression", "forecast"):
        return
    counts = np.bincount(y, minlength=len(classes))
    if np.count_nonzero(counts) == 1:
        raise Failure("ONE_CLASS", f"all {len(y)} training rows are of class {classes[counts.argmax()]:g}")
    if not counts.all():
        raise Failure("CLASS_ABSENT", f"no training row is of class {classes[counts.argmin()]:g}")


def fit(kind: Any, job: Job) -> Fitted:
    """What a library raises on its parameters or data is the request's failure, in the library's words."""
    try:
        return kind.fit(job)
    except (Failure, Stopped, ImportError, MemoryError):
        raise
    except Exception as error:
        raise Failure("FIT_FAILED", f"{type(error).__name__}: {first_line(error)}") from error


def predict(kind: Any, fitted: Fitted, rows: np.ndarray, job: Job) -> np.ndarray:
    """(N, K) float32 probabilities, or (N, 1) values for regression, of prepared rows. NOT_FINITE."""
    if not len(rows):  # LightGBM and scikit-learn refuse an empty matrix
        return np.empty((0, job.classes or 1), np.float32)
    predicted = kind.predict(fitted.model, rows, job)
    if predicted.ndim == 1:
        predicted = np.column_stack([1 - predicted, predicted] if job.task == "binary" else [predicted])
    with np.errstate(over="ignore"):
        predicted = predicted.astype(np.float32)
    if not np.isfinite(predicted).all():
        raise Failure("NOT_FINITE", "the model predicts values that are not finite")
    return predicted


def onnx_graph(prepared: Preparation, shape: structure.Ensemble | structure.Linear, features: int, task: str) -> bytes:
    from . import export

    return export.graph(prepared, shape, features, task)


def onnx_predict(graph: bytes, rows: np.ndarray, columns: int, threads: int) -> np.ndarray:
    from . import export

    return export.run(graph, rows, threads) if len(rows) else np.empty((0, columns), np.float32)


def named(predicted: np.ndarray) -> dict[str, np.ndarray]:
    if predicted.shape[1] == 1:
        return {"prediction": predicted[:, 0]}
    return {f"p{k}": predicted[:, k] for k in range(predicted.shape[1])}


def difference(native: np.ndarray, onnx: np.ndarray, unit: float | np.ndarray = 1) -> float | None:
    """Largest difference in a unit, of each column or of all, relative where the native value exceeds that; None without rows."""
    if not native.size:
        return None
    return float(np.max(np.abs(native - onnx) / np.maximum(unit, np.abs(native))))


def number(value: float) -> float | None:
    """As JSON has it: a figure that is none is null."""
    return float(value) if np.isfinite(value) else None


def shares(features: list[str], importances: np.ndarray, prepared: Preparation) -> dict[str, float] | None:
    """Importances of the features, each the sum over the columns made from it, that sum to 1; None when the model uses none."""
    total = float(np.sum(importances))
    if total <= 0:
        return None
    summed = np.bincount(prepared.sources(), importances, len(features))
    return {name: float(value) / total for name, value in zip(features, summed, strict=True)}


class Progress:
    """Called after each iteration: the safe point, where Stopped is raised. Speaks at each tenth, at most ten times a second."""

    def __init__(self, emit: Emit, stopping: threading.Event, loss: str):
        self.emit, self.stopping, self.loss = emit, stopping, loss
        self.began = self.spoke = time.monotonic()
        self.tenth = 0

    def __call__(self, step: int, of: int, loss: float | None = None) -> None:
        if self.stopping.is_set():
            raise Stopped
        now, tenth = time.monotonic(), 10 * step // of
        if tenth == self.tenth or now - self.spoke < 0.1:
            return
        self.spoke, self.tenth = now, tenth
        eta = (now - self.began) / step * (of - step)
        self.emit("progress", step=step, of=of, metrics={} if loss is None else {self.loss: float(loss)}, eta=eta)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
