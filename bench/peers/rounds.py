"""A peer at work: a line on stdin names what to do, a JSON line on stdout says how long it took and what came out."""

import json
import platform
import sys
import time


def answer(work, *modules):
    """`work` maps names to functions without arguments; what a function gives back goes into the answer, if it is a dict."""
    versions = {module.__name__: module.__version__ for module in modules}
    print(json.dumps({"versions": {"Python": platform.python_version(), **versions}}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        result = work[line.strip()]()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "result": result}), flush=True)
