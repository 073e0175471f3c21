"""The messages, one JSON object per line; protocol/engine.schema.json says the same for the other side. Knows no models."""

import os
import threading
from importlib import metadata
from typing import Annotated, Any, Literal

import msgspec

VERSION = 1

Name = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Words = Annotated[int, msgspec.Meta(ge=0, le=2**24 - 2)]  # float32 counts no further
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Ranges = list[tuple[Count, Count]]  # half-open: [[0, 1300], [1310, 1400]]
Rows = Ranges | Name  # or the path of an Arrow file with one uint32 column of row numbers


class Struct(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Sequence(Struct):
    """Rows that samples are windows of: every row with its features, those of one symbol after each other."""

    path: Name  # an Arrow file with one column of fixed-size lists of float32
    at: Name  # the column of the dataset that says with which of those rows a sample ends
    starts: list[Count] = msgspec.field(default_factory=lambda: [0])  # the row that each symbol begins with: no window and no forecast reaches across


class Forecast(Struct):
    """What is learned are the next rows of the sequence themselves."""

    horizon: Positive  # rows after a sample's own
    of: list[Name]  # features that hold numbers


class Dataset(Struct):
    digest: Name
    path: Name
    features: list[Name]
    task: Literal["binary", "multiclass", "regression", "forecast"]
    label: Name | None = None  # of every task but a forecast, whose labels are rows of the sequence
    forecast: Forecast | None = None
    classes: list[float] = []  # label values in the order of the predicted columns
    categories: dict[Name, Words] = {}  # feature -> K: it holds codes 0..K-1, K for a word never seen, NaN for missing
    sequence: Sequence | None = None


class Numbers(Struct, frozen=True):
    """What is done to a feature that holds numbers; None leaves imputing and scaling to the kind."""

    impute: Literal["median", "mean", "most_frequent", "constant"] | None = None
    value: Annotated[float, msgspec.Meta(ge=-3.4e38, le=3.4e38)] = 0.0  # of impute: constant
    indicator: bool = False  # a 0/1 column beside each feature with missing values in training
    clip: tuple[Share, Share] | None = None  # quantiles
    scale: Literal["standard", "min_max", "robust", "none"] | None = None


class Categories(Struct, frozen=True):
    """What is done to a feature that holds codes."""

    encode: Literal["one_hot", "ordinal", "target", "native"] = "one_hot"
    impute: Literal["most_frequent", "own"] = "most_frequent"  # own: missing is a category like the others


class Prepare(Struct, frozen=True):
    numbers: Numbers = Numbers()
    categories: Categories = Categories()
    columns: dict[Name, dict[str, Any]] = {}  # feature -> what is different for it


class Model(Struct):
    kind: Name
    params: dict[str, Any] = {}
    prepare: Prepare = Prepare()
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0


class Parts(Struct):
    train: Rows
    stop: Rows = []  # early stopping only
    predict: Rows = []


class Hello(Struct, tag="hello", tag_field="method"):
    id: Name


class Stop(Struct, tag="stop", tag_field="method"):
    id: Name


class Fit(Struct, tag="fit", tag_field="method"):
    id: Name
    dataset: Dataset
    model: Model
    rows: Parts
    out: Name
    checkpoints: Name | None = None  # an existing directory; a fit of a network goes on from what it finds there
    weights: Name | None = None  # model.safetensors of a fit of the same network: nothing is trained
    iterations: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Export(Fit, tag="export", tag_field="method"):
    """The fit done again (equal seeds give equal bits), and the model written as ONNX and in its own format."""


class Measured(Struct):
    """A network that nothing is fitted with."""

    id: Name
    model: Model
    channels: Positive
    task: Literal["binary", "multiclass", "regression", "forecast"]
    classes: Count = 0
    horizon: Positive = 1  # of a forecast, which is of every channel


class Parameters(Measured, tag="parameters", tag_field="method"):
    """How many trainable parameters it has, counted without memory for them."""


class BatchSize(Measured, tag="batch_size", tag_field="method"):
    """The largest power of two of rows that a forward and backward pass has room for."""

    memory_mb: Annotated[float, msgspec.Meta(gt=0)] | None = None


Request = Hello | Fit | Export | Parameters | BatchSize | Stop


class Failure(Exception):
    """Ends the request, not the engine. `code` is stable; `reason` is one line for people."""

    def __init__(self, code: str, reason: str):
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


class Stopped(Exception):
    """Raised at a safe point of a fit once the engine has been asked to stop."""


def decode(line: bytes) -> Request:
    """One request of a line; anything else is a BAD_REQUEST."""
    try:
        request = msgspec.json.decode(line, type=Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Failure("BAD_REQUEST", str(error)) from None
    if isinstance(request, Fit):
        check(request)
    return request


def check(request: Fit) -> None:
    """What the types do not say."""
    task, classes = request.dataset.task, request.dataset.classes
    wanted = {"binary": len(classes) == 2, "multiclass": len(classes) > 2}
    if not wanted.get(task, not classes) or len(set(classes)) < len(classes):
        raise Failure("BAD_REQUEST", f"task {task} does not go with classes {classes}")
    names = request.dataset.features
    if not names or len(set(names)) < len(names):
        raise Failure("BAD_REQUEST", "features must be named, each once")
    if strangers := sorted((request.dataset.categories.keys() | request.model.prepare.columns.keys()) - set(names)):
        raise Failure("BAD_REQUEST", f"categories or prepare.columns name what is no feature: {', '.join(strangers)}")
    check_labels(request.dataset)
    treatments(request)


def check_labels(dataset: Dataset) -> None:
    """A label, or rows to forecast."""
    ahead, sequence = dataset.forecast, dataset.sequence
    if sequence and (sequence.starts[:1] != [0] or sequence.starts != sorted(set(sequence.starts))):
        raise Failure("BAD_REQUEST", "starts must rise from 0")
    if dataset.task != "forecast":
        if dataset.label is None or ahead:
            raise Failure("BAD_REQUEST", f"task {dataset.task} needs a label, and no forecast")
        return
    if ahead is None or sequence is None or dataset.label is not None:
        raise Failure("BAD_REQUEST", "task forecast needs a forecast and a sequence, and no label")
    numbers = set(dataset.features) - dataset.categories.keys()
    if not ahead.of or len(set(ahead.of)) < len(ahead.of) or not numbers.issuperset(ahead.of):
        raise Failure("BAD_REQUEST", "forecast.of must name features that hold numbers, each once")


def treatments(request: Fit) -> list[Numbers | Categories]:
    """What is done to each feature, in their order: its own words in `columns` laid over those for all."""
    prepare = request.model.prepare
    return [
        treatment(
            name,
            prepare.categories if name in request.dataset.categories else prepare.numbers,
            prepare.columns.get(name, {}),
        )
        for name in request.dataset.features
    ]


def treatment(name: str, common: Numbers | Categories, own: dict[str, Any]) -> Numbers | Categories:
    try:
        merged = msgspec.convert(msgspec.to_builtins(common) | own, type(common)) if own else common
    except msgspec.ValidationError as error:
        sort = type(common).__name__.lower()
        raise Failure("BAD_REQUEST", f"prepare.columns.{name}, which holds {sort}: {error}") from None
    if isinstance(merged, Numbers) and merged.clip and merged.clip[0] >= merged.clip[1]:
        raise Failure("BAD_REQUEST", f"clip of {name} is {list(merged.clip)}, not a lower and a higher quantile")
    return merged


def id_of(line: bytes) -> str | None:
    """The id of a line that is no valid request, where it has one, so that whoever waits for it is answered."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    found = found.get("id") if isinstance(found, dict) else None
    return found if isinstance(found, str) else None


class Events:
    """Writes events to the descriptor that is the real stdout. Whole lines only, from any thread; NaN and infinities become null."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def emit(self, id: str | None, event: str, **fields: Any) -> None:
        line = memoryview(msgspec.json.encode({"id": id, "event": event, **fields}) + b"\n")
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


DISTRIBUTIONS = {
    "numpy": ["numpy"],
    "pyarrow": ["pyarrow"],
    "sklearn": ["scikit-learn"],
    "xgboost": ["xgboost-cpu", "xgboost"],
    "lightgbm": ["lightgbm"],
    "catboost": ["catboost"],
    "onnx": ["onnx"],
    "onnxruntime": ["onnxruntime"],
    "msgspec": ["msgspec"],
    "torch": ["torch"],
    "transformers": ["transformers"],
    "accelerate": ["accelerate"],
    "safetensors": ["safetensors"],
}


def versions() -> dict[str, str | None]:
    """Installed versions, read from metadata: nothing is imported, so this takes milliseconds. None: not installed."""
    import platform

    return {"python": platform.python_version()} | {name: version(names) for name, names in DISTRIBUTIONS.items()}


def version(distributions: list[str]) -> str | None:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return None
