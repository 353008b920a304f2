"""``python -m fuzz TARGET``: looks for bytes that break a promise, led by the code they reach.

Rules:
- What is found is kept as a file. ``python -m fuzz TARGET FILE`` does it again, without atheris.
- The search goes on from where the last one ended: what reached new code is in ``.fuzz/TARGET``.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from fuzz.targets import CORPUS, TARGETS, load_target

WORK: Final = Path(".fuzz")

INPUT_BYTES_MAX: Final = 4096
SECONDS_MAX: Final = 10
"""For one input, with every line of it counted: some thirty times what the slowest should take."""
MEMORY_MIB_MAX: Final = 2048


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parse(arguments)
    if options.files:
        return _again(options.target, options.files)
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        print(
            "fuzz: atheris is not installed; './dev fuzz' brings it, on Linux with Python 3.11 "
            "to 3.13",
            file=sys.stderr,
        )
        return 2
    # What is imported in this block tells where it has been; the rest, trio included, does not.
    with atheris.instrument_imports(include=["ring", "wire", "node"]):
        fuzz = load_target(options.target)
    grown, found = WORK / options.target, WORK / "found"
    for directory in (grown, found):
        directory.mkdir(parents=True, exist_ok=True)
    print(f"fuzz: what is found is kept in {found}/", file=sys.stderr)
    settings = {
        "max_total_time": round(60 * options.minutes),
        "max_len": INPUT_BYTES_MAX,
        "timeout": SECONDS_MAX,
        "rss_limit_mb": MEMORY_MIB_MAX,
        "artifact_prefix": f"{found}/{options.target}-",
        "print_final_stats": 1,
    }
    flags = [f"-{name}={value}" for name, value in settings.items()]
    corpus = [str(grown), str(CORPUS / options.target)]
    atheris.Setup([sys.argv[0], *flags, *corpus], fuzz)
    atheris.Fuzz()
    raise AssertionError("it ends the process")


def _again(target: str, files: list[Path]) -> int:
    fuzz = load_target(target)
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            print(f"fuzz: {file}: {error.strerror}", file=sys.stderr)
            return 2
        fuzz(content)
        print(f"{file}: every promise was kept")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    targets = "\n".join(f"  {name:14} {about}" for name, about in TARGETS.items())
    parser = argparse.ArgumentParser(
        prog="python -m fuzz",
        description=f"Look for bytes that break a promise.\n\ntargets:\n{targets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", choices=TARGETS, metavar="TARGET", help="see above")
    parser.add_argument("files", nargs="*", type=Path, help="inputs to try; none: search")
    parser.add_argument(
        "--minutes", type=float, default=10, metavar="N", help="search for so long (10)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
