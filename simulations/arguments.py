"""What the commands have in common: exit statuses, and how arguments are read.

Rule: what cannot be used is refused with the argument, the value and the range.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

BROKEN_STATUS: Final = 1
USAGE_STATUS: Final = 2
SIGNAL_STATUS: Final = 128


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number in this range from an argument."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} cannot be used; give a whole number from {low:,} to {high:,}"
            )
        return number

    return parse


def path_of(what: str) -> Callable[[str], Path]:
    """Return what reads the path of a file or directory, as ``what`` says, from an argument."""

    def parse(text: str) -> Path:
        if not text:  # It would be the directory in which somebody happens to be.
            raise argparse.ArgumentTypeError(f"'' cannot be used; name a {what}")
        return Path(text)

    return parse


def number(what: str, low: float, high: float) -> Callable[[str], float]:
    """Return what reads a number, such as of seconds, in this range from an argument."""

    def parse(text: str) -> float:
        try:
            given = float(text)
        except ValueError:
            given = math.nan
        if not low <= given <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} cannot be used; give {what} from {low:,} to {high:,}"
            )
        return given

    return parse
