"""``sessionring why``, ``list``, ``show``, ``count`` and ``end``: looking after single sessions.

Rules:
- What was asked for stands on standard output, as a table or as JSON; all else on standard error.
- Exit status 0: it was told or done; 1: there is no such session, or nobody can be asked; a
  sentence says which.
- Ids are secrets. They are printed because whoever asks holds the ring's secret, and nowhere else.
- A list is printed as it comes: it may be longer than memory is large.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import attrs
import trio

from node.auditing import History, HistoryNote, InspectedSession
from node.client import Client, open_client
from node.config import NodeConfig
from node.errors import AttributeDecodeError
from node.receipts import Receipt
from ring.errors import ConfigError, SessionRingError

FAILED_STATUS: Final = 1

_LIST: Final = (("id", 31), ("state", 8), ("acting", 8), ("holders", 9), ("bytes", 8))
_LISTED: Final = (*_LIST, ("attrs", 6), ("last access", 20), ("expires", 20))
_WHY: Final = (("when (UTC)", 24), ("what", 10), ("member", 10), ("times", 6), ("", 0))
_COUNT: Final = (("home", 20), ("acting", 20), ("sessions", 12), ("ended", 12))
_SHOWN_CHARS_MAX: Final = 2000
"""Of one value; the rest is cut off, and said to be."""


def run(config: NodeConfig, options: argparse.Namespace) -> int:
    """Carry out the command in ``options`` at the ring in ``config``; return the exit status."""
    try:
        return trio.run(_run, config, options)
    except BrokenPipeError:
        # Whoever read it has enough; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


async def _run(config: NodeConfig, options: argparse.Namespace) -> int:
    addresses = [address for address in config.ring.addresses.values() if address]
    addresses += [each for each in config.listen_addresses if each not in addresses]
    try:
        async with open_client(
            *addresses,
            secrets=config.security.secrets,
            tls=config.tls,
            ring_name=config.ring.name,
            sessions=config.sessions,
            durability=config.durability,
        ) as client:
            return await _COMMANDS[options.command](client, options)
    except ConfigError:
        raise
    except (SessionRingError, ValueError) as error:
        return _fail(str(error))


async def _why(client: Client, options: argparse.Namespace) -> int:
    history = await client.why(options.id)
    if options.json:
        _print_json(history)
    elif history.notes:
        _print_row(_WHY, [title for title, _ in _WHY])
        for note in history.notes:
            _print_row(_WHY, _told(note))
    for name in history.unheard:
        print(f"{name}: cannot be asked; it may know more", file=sys.stderr)
    if not history.notes:
        return _fail("no member that can be asked knows of such a session")
    return 0


def _told(note: HistoryNote) -> list[str]:
    times = "" if note.times == 1 else str(note.times)
    other = _explained(note)
    if note.until != note.at:
        other = f"{other}until {_clock(note.until)}"
    return [_clock(note.at), note.what, note.member or "-", times, other]


def _explained(note: HistoryNote) -> str:
    if note.other is None:
        return ""
    match note.what:
        case "rotated":
            return f"goes on as {note.other}"
        case "continued":
            return f"was {note.other}"
        case "merged":
            return f"what {note.other} had, "
        case "released":
            return f"by {note.other}, "
        case _:
            return f"{note.other} "


async def _list(client: Client, options: argparse.Namespace) -> int:
    is_first = True
    async for each in client.inspect(home=options.home, ended=options.ended):
        if options.json:
            _print_json(each)
            continue
        if is_first:
            _print_row(_LISTED, [title for title, _ in _LISTED])
            is_first = False
        _print_row(_LISTED, _listed(each))
    return 0


def _listed(each: InspectedSession) -> list[str]:
    return [
        each.id,
        each.state,
        each.acting,
        ",".join(each.holders),
        str(each.bytes),
        str(each.attributes),
        _clock(each.last_accessed, seconds=True),
        _clock(each.expires_at, seconds=True),
    ]


async def _show(client: Client, options: argparse.Namespace) -> int:
    summary = await _found(client, options.id, values=options.values)
    if summary is None:
        return _fail("there is no such session")
    if options.json:
        _print_json(summary)
        return 0
    facts = {
        "id": summary.id,
        "state": summary.state,
        "home": summary.home,
        "acting": summary.acting,
        "holders": ", ".join(summary.holders),
        "principal": _plain(summary.principal or "-"),
        "created": _clock(summary.created_at),
        "last access": _clock(summary.last_accessed),
        "expires": _clock(summary.expires_at),
        "bytes": str(summary.bytes),
        "attributes": str(summary.attributes),
    }
    for name, value in facts.items():
        print(f"{name:<12} {value}")
    for name in summary.names or ():
        if summary.values is None:
            print(f"  {_plain(name)}")
        else:
            print(f"  {_plain(name)} = {_shown(summary.values[name])}")
    return 0


async def _found(client: Client, session_id: str, *, values: bool) -> InspectedSession | None:
    async for each in client.inspect(session_id, values=values):
        return each
    return None


async def _count(client: Client, options: argparse.Namespace) -> int:
    counts = await client.count_sessions()
    if options.json:
        _print_json(counts)
        return 0
    _print_row(_COUNT, [title for title, _ in _COUNT])
    for each in counts:
        _print_row(_COUNT, [each.home, each.acting, str(each.sessions), str(each.ended)])
    sums = [str(sum(each.sessions for each in counts)), str(sum(each.ended for each in counts))]
    _print_row(_COUNT, ["all", "", *sums])
    return 0


async def _end(client: Client, options: argparse.Namespace) -> int:
    summary = await _found(client, options.id, values=False)
    if summary is None or summary.state in ("ended", "expired"):
        over = "" if summary is None else f"; it has {summary.state} before"
        return _fail(f"there is no such session{over}")
    receipt = await client.sessions.end(options.id)
    if options.json:
        _print_json({"id": options.id, "receipt": attrs.asdict(receipt)})
    else:
        print(f"ended {options.id}: {_said(receipt)}")
    return 0


def _said(receipt: Receipt) -> str:
    said = f"held by {', '.join(receipt.holders)}"
    if receipt.on_disk:
        said += f"; on disk at {', '.join(receipt.on_disk)}"
    return said + ("; degraded: less than was asked for" if receipt.degraded else "")


_COMMANDS: Final = {"why": _why, "list": _list, "show": _show, "count": _count, "end": _end}


# --- How it is printed ---


def _print_row(columns: Sequence[tuple[str, int]], row: Iterable[str]) -> None:
    cells = [f"{cell:<{width}}" for (_, width), cell in zip(columns, row, strict=True)]
    print(" ".join(cells).rstrip())


def _clock(moment: datetime | None, *, seconds: bool = False) -> str:
    if moment is None:
        return "-"
    spec = "seconds" if seconds else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(" ", spec)


def _plain(name: str) -> str:
    """Return a name on one line: what is in a session may have been chosen by strangers."""
    return name if name.isprintable() else repr(name)


def _shown(value: Any) -> str:
    if isinstance(value, AttributeDecodeError):
        return f"({value})"
    text = repr(value)
    if len(text) <= _SHOWN_CHARS_MAX:
        return text
    return f"{text[:_SHOWN_CHARS_MAX]}... ({len(text)} characters)"


def _print_json(what: Any) -> None:
    print(json.dumps(what, default=_as_json, ensure_ascii=False))


def _as_json(value: Any) -> Any:
    """Return what JSON has for a value; whatever it has nothing for is shown as Python does."""
    match value:
        case datetime():
            return value.isoformat()
        case History() | HistoryNote() | InspectedSession():
            return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
        case _ if attrs.has(type(value)):
            return attrs.asdict(value)
        case _:
            return repr(value)


def _fail(why: str) -> int:
    print(f"sessionring: {why}", file=sys.stderr)
    return FAILED_STATUS
