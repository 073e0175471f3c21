"""What a process of ours does at its start and at its end."""

import os
import signal
import sys


def take_stdout() -> int:
    """A private descriptor for the events; whatever a library prints goes to stderr instead."""
    private = os.dup(1)
    os.dup2(2, 1)
    return private


def die_with_parent() -> None:
    """SIGKILL when the parent dies (Linux; elsewhere the end of stdin tells)."""
    if sys.platform != "linux":
        return
    import ctypes

    parent, PR_SET_PDEATHSIG = os.getppid(), 1
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        leave()


def leave() -> None:
    """At once: a library's threads or exit handlers must not keep a process whose work is over."""
    sys.stderr.flush()
    os._exit(0)
