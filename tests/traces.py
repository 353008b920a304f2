"""Traces of simulations in other processes, which are to be the same in all of them."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def trace_of(program: str) -> list[str]:
    """Return the words that ``program`` prints, the same whatever strings hash to."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed},
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "1")
    ]
    printed = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    (trace,) = printed
    return trace.split()
