"""Spells a recording as one page that needs nothing else: no network, no other file.

Rules:
- Sessions and values are whatever somebody made up. They go into the page as JSON in which no
  character has a meaning to HTML, and the script shows them as text only.
- The page may run its own script and nothing else: a policy in it names the script by its hash.
- What is said often is kept once, in lists of texts, of entries and of what is shown of sessions.
"""

import json
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from importlib import resources
from math import isinf
from string import Template
from typing import Any, Final

from simulations.history import Operation
from simulations.picture.promises import PROMISES
from simulations.picture.recording import Recording, Shown, Span
from simulations.picture.words import GROUPS

SCRIPTS: Final = (
    *("run.js", "view.js", "place.js", "paint.js", "overview.js"),
    *("point.js", "lists.js", "page.js"),
)
"""In the order in which they stand in the page, as one script."""


def page_of(recording: Recording) -> str:
    """Return the page of a run, as HTML."""
    files = resources.files("simulations.picture")
    read = {name: files.joinpath(name).read_text("utf-8") for name in ("page.html", "page.css")}
    script = "".join(files.joinpath(name).read_text("utf-8") for name in SCRIPTS)
    plan = recording.plan
    return Template(read["page.html"]).substitute(
        title=escape(f"seed {plan.seed}, {plan.mode}, {recording.level}"),
        script_policy=_policy(script),
        style_policy=_policy(read["page.css"]),
        style=read["page.css"],
        script=script,
        run=_harmless(json.dumps(_Spelling(recording).everything(), separators=(",", ":"))),
    )


def _policy(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _harmless(text: str) -> str:
    """Return JSON with nothing in it that HTML could take for its own."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Spelling:
    """A recording as lists of numbers and words, each word once.

    Args:
        recording: what is spelled.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._nodes = {name: number for number, name in enumerate(recording.plan.names)}
        self._texts: dict[str, int] = {}
        self._sessions: dict[str, int] = {}
        self._entries: dict[tuple[str, str, str], int] = {}
        self._shown: dict[Shown, int] = {}

    def everything(self) -> dict[str, Any]:
        """Return what the page is given."""
        made, plan = self._recording, self._recording.plan
        families = made.family_of()
        for each in made.operations:
            self._session(each.session)
            if each.new_session:
                self._session(each.new_session)
        kinds = {kind: number for number, kind in enumerate(sum(GROUPS.values(), ()))}
        arrows = sorted(made.arrows, key=lambda arrow: arrow.sent)
        spelled = {
            "seed": plan.seed,
            "mode": str(plan.mode),
            "level": made.level,
            "copies": plan.copies,
            "clients": plan.workload.clients,
            "core": plan.core,
            "nodes": list(self._nodes),
            "endsAt": _time(made.ends_at),
            "healedAt": None if made.healed_at is None else _time(made.healed_at),
            "groups": [[name, list(each)] for name, each in GROUPS.items()],
            "kinds": list(kinds),
            "messages": {
                "sent": [_time(each.sent) for each in arrows],
                "arrived": [None if it.arrived is None else _time(it.arrived) for it in arrows],
                "sender": [self._nodes[each.sender] for each in arrows],
                "receiver": [self._nodes[each.receiver] for each in arrows],
                "kind": [kinds[each.kind] for each in arrows],
                "says": [self._text(each.says) for each in arrows],
                "shown": [self._all_shown(each.shown) for each in arrows],
            },
            "kept": [
                [_time(each.at), self._nodes[each.node], self._show(each.shown)]
                for each in made.kept
            ],
            "states": self._spans(made.states),
            "troubles": self._spans(made.troubles),
            "acting": self._spans(made.acting),
            "marks": [
                [_time(each.at), self._nodes[each.node], self._text(each.what)]
                for each in made.marks
            ],
            "faults": [
                {
                    "at": _time(each.at),
                    "until": _time(min(each.until, made.healed_at or made.ends_at)),
                    "stays": isinf(each.until),
                    "kind": each.kind,
                    "nodes": [self._nodes[name] for name in each.nodes],
                    "says": each.says,
                }
                for each in made.faults
            ],
            "operations": [self._operation(each) for each in made.operations],
            "broken": [
                {
                    "promise": each.violation.promise,
                    "means": PROMISES.get(each.violation.promise, ""),
                    "story": each.violation.story,
                    "harm": str(each.violation.harm or ""),
                    "session": self._session(each.violation.session),
                    "operation": each.operation,
                    "at": _time(each.at),
                    "since": _time(each.since),
                    "until": _time(min(each.until, made.ends_at)),
                }
                for each in made.broken
            ],
        }
        # They are complete only now that everything has been spelled.
        spelled["shown"] = [
            [self._session(it.session), self._text(it.note), self._all_entries(it.entries)]
            for it in list(self._shown)
        ]
        spelled["entries"] = [[self._text(each) for each in entry] for entry in self._entries]
        first = {session: families.get(session, session) for session in list(self._sessions)}
        spelled["families"] = [self._session(each) for each in first.values()]
        spelled["sessions"] = list(self._sessions)
        spelled["texts"] = list(self._texts)
        return spelled

    def _operation(self, it: Operation) -> dict[str, Any]:
        spelled: dict[str, Any] = {
            "client": it.client,
            "kind": str(it.kind),
            "session": self._session(it.session),
            "node": self._nodes[it.node],
            "invoked": _time(it.invoked),
            "returned": None if it.returned is None else _time(it.returned),
            "outcome": "degraded" if it.degraded else str(it.outcome),
            "version": it.version,
            "reason": it.reason,
            "holders": list(it.holders),
            "onDisk": list(it.on_disk),
        }
        if it.kind == "find":
            spelled["read"] = sorted((it.read or {}).items()) if it.found else None
        if it.new_session:
            spelled["newSession"] = self._session(it.new_session)
        return spelled

    def _spans(self, spans: Iterable[Span]) -> list[list[Any]]:
        return [
            [
                _time(each.since),
                _time(each.until),
                [self._nodes[name] for name in each.where],
                each.what,
            ]
            for each in spans
        ]

    def _all_shown(self, shown: Iterable[Shown]) -> list[int]:
        return [self._show(each) for each in shown]

    def _show(self, shown: Shown) -> int:
        return self._shown.setdefault(shown, len(self._shown))

    def _all_entries(self, entries: Iterable[tuple[str, str, str]]) -> list[int]:
        return [self._entries.setdefault(each, len(self._entries)) for each in entries]

    def _session(self, session: str) -> int:
        return self._sessions.setdefault(session, len(self._sessions)) if session else -1

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))


def _time(seconds: float) -> float:
    return round(seconds, 5)
