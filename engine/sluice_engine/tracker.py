"""`python -m sluice_engine.tracker`: tells Weights & Biases of one run. Requests on stdin, answers on stdout, text on stderr.

Not covered: which run, which points and which files, the parent says that; and no retry, which the client does itself.
"""

import os
import signal
import sys
import traceback
from itertools import groupby
from typing import Any, Literal

import msgspec

from .process import die_with_parent, leave, take_stdout
from .protocol import Events, Failure, Name, Struct, id_of


class Begin(Struct, tag="begin", tag_field="method"):
    id: Name
    run: Name
    name: Name
    project: Name
    mode: Literal["offline", "online"]
    folder: Name  # nothing is written elsewhere
    config: dict[str, Any] = {}
    entity: str | None = None


class Point(Struct):
    id: int  # rises from point to point of a run
    series: Name
    name: Name
    step: int
    value: float | None  # None: it was no finite number


class Points(Struct, tag="points", tag_field="method"):
    id: Name
    points: list[Point]


class File(Struct):
    name: Name
    path: Name


class End(Struct, tag="end", tag_field="method"):
    id: Name
    exit_code: int
    config: dict[str, Any] = {}
    figures: dict[str, float] = {}
    files: list[File] = []
    bundle: list[File] = []  # kept as a model, under a version of its own


Request = Begin | Points | End


def main() -> None:
    die_with_parent()
    events = Events(take_stdout())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    run = None
    for line in sys.stdin.buffer:
        try:
            request = msgspec.json.decode(line, type=Request)
            if isinstance(request, Begin):
                run = begin(request)
            elif isinstance(request, Points):
                log(run, request.points)
            else:
                end(run, request)
                run = None
            events.emit(request.id, "done")
        except BrokenPipeError:
            break
        except Exception as error:
            traceback.print_exc()
            events.emit(id_of(line), "failed", code=code_of(error), reason=f"{type(error).__name__}: {error}")
    if run:
        run.finish(exit_code=1)
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # the client's own process, which would stay for seconds
    leave()


def code_of(error: Exception) -> str:
    """Whether the client is missing, will not take what it is given, or cannot reach its server."""
    if isinstance(error, ModuleNotFoundError):
        return "TRACKER_MISSING"
    refused = {"UsageError", "AuthenticationError", "AuthorizationError", "ValidationError", "DecodeError", "Failure"}
    return "TRACKER_REFUSED" if type(error).__name__ in refused else "TRACKER_DOWN"


def begin(request: Begin):
    """Opens the run, or goes on with it where it is known. The client's own folders are told by the environment alone."""
    own = os.path.join(request.folder, "wandb")
    for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT"):
        os.environ[f"WANDB_{name}_DIR"] = os.path.join(own, name.lower())
    os.environ["TMPDIR"] = os.path.join(own, "tmp")
    os.makedirs(os.environ["TMPDIR"], exist_ok=True)
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    import wandb

    return wandb.init(
        id=request.run,
        name=request.name,
        project=request.project,
        entity=request.entity,
        config=request.config,
        mode=request.mode,
        dir=request.folder,
        resume="allow" if request.mode == "online" else None,
        settings=wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            init_timeout=30,
            save_code=False,
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
            x_transaction_log_flush_interval=1.0,
        ),
    )


def log(run, points: list[Point]) -> None:
    """A row for each step of a series, which counts its own steps: `series/name` over `series/step`.

    A row's number is the id of its last point. The server says after which number a run goes on, so a run that is
    told again is not told what the server has, however much that is of what the client was given.
    """
    begun(run)
    new = [point for point in points if point.id >= run.starting_step]
    for series in dict.fromkeys(point.series for point in new):
        run.define_metric(f"{series}/*", step_metric=f"{series}/step")
    for (series, step), row in groupby(new, key=lambda point: (point.series, point.step)):
        row = list(row)
        values = {f"{series}/{point.name}": float("nan") if point.value is None else point.value for point in row}
        run.log(values | {f"{series}/step": step}, step=row[-1].id, commit=True)


def end(run, request: End) -> None:
    begun(run)
    run.config.update(request.config, allow_val_change=True)
    run.summary.update(request.figures)
    for file in request.files:
        keep(run, file)
    if request.bundle:
        import wandb

        bundle = wandb.Artifact(f"{run.name}-bundle", type="model")
        for file in request.bundle:
            bundle.add_file(file.path, name=file.name)
        run.log_artifact(bundle)
    run.finish(exit_code=request.exit_code)


def keep(run, file: File) -> None:
    """A copy among the run's files."""
    import shutil

    path = os.path.join(run.dir, file.name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.copyfile(file.path, path)
    run.save(path, base_path=run.dir, policy="now")


def begun(run) -> None:
    if run is None:
        raise Failure("BAD_REQUEST", "no run was begun")


if __name__ == "__main__":
    main()
