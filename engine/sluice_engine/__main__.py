"""`python -m sluice_engine`: requests on stdin, events on stdout, text on stderr, one request at a time."""

import functools
import os
import queue
import signal
import sys
import threading
import time
import traceback

THREADS = max(1, int(os.environ.get("SLUICE_THREADS") or 1))
# Read by the numerical libraries when they load. Spinning threads on busy cores cost 2-8 x.
os.environ.update(OMP_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS=str(THREADS), OMP_WAIT_POLICY="PASSIVE")

from . import protocol  # noqa: E402  (after the threads are set)
from .process import die_with_parent, leave, take_stdout  # noqa: E402
from .protocol import BatchSize, Events, Failure, Fit, Hello, Parameters, Stop, Stopped  # noqa: E402

# After stdin has ended nobody listens; a second lets `echo ... | python -m sluice_engine` be answered.
GRACE_SECONDS = 1.0
DEEP = ("torch", "transformers", "accelerate", "safetensors", "onnxscript", "psutil")


def main() -> None:
    die_with_parent()
    events = Events(take_stdout())
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # None: stop without a request (SIGTERM)
    stopping = threading.Event()

    def terminate(*_: object) -> None:
        stopping.set()
        lines.put(None)

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=read, args=(lines, stopping), daemon=True).start()
    try:
        serve(lines, events, stopping)
    except BrokenPipeError:
        pass  # nobody listens any more
    leave()


def serve(lines: "queue.SimpleQueue[bytes | None]", events: Events, stopping: threading.Event) -> None:
    """Answers requests in order until told to stop. A bad line or a failed fit ends that request only."""
    while (line := lines.get()) is not None:
        try:
            request = protocol.decode(line)
            if isinstance(request, Stop):
                events.emit(request.id, "done")
                return
            if isinstance(request, Hello):
                events.emit(request.id, "done", protocol=protocol.VERSION, versions=protocol.versions())
            elif isinstance(request, Parameters | BatchSize):
                from .deep import measure

                events.emit(request.id, "done", **measure.run(request, stopping))
            else:
                answer(request, events, stopping)
        except Stopped:
            events.emit(protocol.id_of(line), "failed", code="STOPPED", reason="the engine was asked to stop")
        except Failure as failure:
            if failure.__cause__:
                traceback.print_exception(failure.__cause__)
            events.emit(protocol.id_of(line), "failed", code=failure.code, reason=failure.reason)
        except ModuleNotFoundError as error:
            group = "deep" if error.name in DEEP else "core"
            reason = f"{error}: sluice engine install {group}"
            events.emit(protocol.id_of(line), "failed", code="GROUP_MISSING", reason=reason)
        except Exception as error:
            traceback.print_exc()
            events.emit(protocol.id_of(line), "failed", code="INTERNAL", reason=f"{type(error).__name__}: {error}")


@functools.cache
def engine():
    """Made at the first fit: numpy and pyarrow take 0.2 s to load."""
    from .fit import Engine

    return Engine(THREADS)


def answer(request: Fit, events: Events, stopping: threading.Event) -> None:
    """One fit or export: progress on the way, `done` with what it took."""
    if stopping.is_set():
        raise Stopped
    wall, cpu = time.perf_counter(), time.process_time()
    result = engine().run(request, lambda event, **fields: events.emit(request.id, event, **fields), stopping)
    took = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    events.emit(request.id, "done", **result, **took, peak_memory_mb=peak_memory_mb())


def read(lines: "queue.SimpleQueue[bytes | None]", stopping: threading.Event) -> None:
    """Reads ahead of the work, so that a stop or the end of stdin is seen during a fit."""
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        if is_stop(line):
            stopping.set()
        lines.put(line)
    stopping.set()
    lines.put(None)
    time.sleep(GRACE_SECONDS)
    leave()


def is_stop(line: bytes) -> bool:
    try:
        return b'"stop"' in line and isinstance(protocol.decode(line), Stop)
    except Failure:
        return False


def peak_memory_mb() -> float:
    """Highest resident size of this process so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
