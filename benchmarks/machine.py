"""Where it was measured: figures of another machine, or of other versions, are other figures."""

import os
import platform
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.pinning import placements
from benchmarks.report import Loopback

_SOURCE: Final = Path(__file__).with_name("loopback.c")


def machine() -> dict[str, str]:
    """Return what is known of this machine."""
    of_ours = {name: version(name) for name in ("trio", "msgpack", "cattrs", "attrs")}
    return {
        "measured at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load at the start": f"{os.getloadavg()[0]:.2f}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **of_ours,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def loopback(seconds: float) -> list[Loopback]:
    """Return what a round trip takes, and how many bytes cross, without Python; none: no compiler.

    Args:
        seconds: for how long to measure each of the two, in each placement.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return []
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "loopback"
        subprocess.run([compiler, "-O2", "-o", program, _SOURCE], check=True)
        found = []
        for placement in placements():
            given = (placement.here, placement.there, seconds)
            command = [str(program), *map(str, given)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            round_trip_ns, bytes_per_s = map(float, done.stdout.split())
            found.append(Loopback(placement.name, round_trip_ns / 1e3, bytes_per_s / 1e6))
        return found
