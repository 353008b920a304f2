"""The other side of ``benchmarks.processes``: reads questions, and answers them."""

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import trio

Tasks = Mapping[str, Callable[..., Any]]
"""By name what can be asked for; each takes the arguments of a question."""


def answer(content: object) -> None:
    """Write an answer."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def answer_all(tasks: Tasks) -> None:
    """Answer questions until there are no more, without a loop of events."""
    for line in sys.stdin:
        question = json.loads(line)
        answer(tasks[question["task"]](**question["arguments"]))


async def answer_all_in_loop(tasks: Tasks) -> None:
    """Answer questions until there are no more; what else runs in the loop goes on meanwhile."""
    unread = b""
    while True:
        await trio.lowlevel.wait_readable(sys.stdin.fileno())
        data = os.read(sys.stdin.fileno(), 65536)
        if not data:
            return
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            question = json.loads(line)
            content = tasks[question["task"]](**question["arguments"])
            answer(await content if inspect.isawaitable(content) else content)
