"""Records a run for its picture: what was said, what the nodes had, who acted, what broke.

Rules:
- What nodes and ways are like is looked at whenever something happens, and has changed then. That a
  process is killed or frozen is told before it is so, and taken for so at once.
- A message has arrived when an equal one has; the last that was sent is taken for it, since earlier
  ones may have been lost.
"""

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Final

from ring import Record, Replica, SessionId
from ring.messages import (
    Absent,
    Acks,
    Answer,
    Ask,
    Changes,
    End,
    Failed,
    Find,
    Found,
    Message,
    Redirect,
    Rotate,
    Save,
    Saved,
)
from simulations.history import Kind, Operation, Outcome
from simulations.picture.recording import (
    Arrow,
    Broken,
    Kept,
    Mark,
    Recording,
    Shown,
    Span,
    Struck,
)
from simulations.picture.words import described, text_of, what_is_said
from simulations.plan import Disk, Fault, Level, Mode, Plan, Trigger
from simulations.plan import Kind as FaultKind
from simulations.violation import Violation
from simulations.witness import Witness

if TYPE_CHECKING:
    from simulations.face import AnyProcess, AnyWorld
    from simulations.judge import Judge

BEFORE_S: Final = 4.0
"""How much is shown of what came before a promise was broken, if nothing longer ago matters."""
BEFORE_MAX_S: Final = 20.0
AFTER_S: Final = 1.0
CHANGES_TOLD: Final = 3

_AT_ONCE: Final = (
    FaultKind.RESET,
    FaultKind.HALF_OPEN,
    FaultKind.CLOCK_JUMPS,
    FaultKind.REORDER,
)
"""Faults that have no end: what follows from them has."""
_OF_ONE: Final = (
    FaultKind.STOP,
    FaultKind.FREEZE,
    FaultKind.SWIZZLE,
    FaultKind.DISK_FAILS,
    FaultKind.DISK_SLOW,
    FaultKind.CLOCK_JUMPS,
)
"""Faults that strike the first node alone."""
_UNSEEN: Final = frozenset({"accepted", "bytes", "submit", "reply", "notice"})
"""Events that are drawn in another way, or not."""


class Recorder(Witness):
    """Records one run.

    Args:
        plan: what is played.
        level: how much of a node is real.
    """

    def __init__(self, plan: Plan, level: Level) -> None:
        self._made = Recording(plan, level)
        self._world: AnyWorld | None = None
        self._judge: Judge | None = None
        self._is_over = False
        self._seen_at = 0.0
        self._under_way: dict[tuple[str, str], list[tuple[Message, Arrow]]] = {}
        self._open: dict[tuple[str, ...], tuple[float, str]] = {}
        """Since when what is so, by the list that it belongs to, and where."""
        self._found: list[tuple[Violation, float, float]] = []
        """Broken promises, and between which times they were found."""
        self._asked: dict[tuple[str, str, str, int], str] = {}
        """The session of a question or request: from whom, to whom, which kind, which number."""
        self._numbered: dict[tuple[str, str], list[str]] = {}
        """By sender and receiver: the sessions of all changes of the latest connection."""
        self._acknowledged = Counter[tuple[str, str]]()
        self._has: dict[str, set[str]] = {name: set() for name in plan.names}

    # --- What happens ---

    def on_begun(self, world: "AnyWorld", judge: "Judge") -> None:
        """See ``Witness``."""
        self._world, self._judge = world, judge

    def on_ended(self, now: float) -> None:
        """See ``Witness``."""
        self._look(now)
        for key in list(self._open):
            self._close(key, now)
        self._made.ends_at, self._is_over = now, True

    def on_event(self, now: float, event: str, who: tuple[str | int | float, ...]) -> None:
        """See ``Witness``."""
        if self._is_over:
            return
        self._look(now)
        node = str(who[0]) if who else ""
        if event == "notice":
            self._made.marks.append(Mark(now, node, str(who[1])))
        elif event == "accepted":
            link = node, str(who[1])
            self._numbered[link], self._acknowledged[link] = [], 0
        elif event not in _UNSEEN:
            self._made.marks.append(Mark(now, node, " ".join([event, *map(str, who[1:])])))
        if event == "freeze":
            self._note(now, ("state", node), "frozen")
        if event == "crash":
            self._note(now, ("state", node), "down")
            for home in self._made.plan.names:
                self._note(now, ("acting", home, node), "")
            for session in sorted(self._has[node]):
                self._made.kept.append(Kept(now, node, Shown(session)))
            self._has[node].clear()

    def on_sent(self, now: float, sender: str, receiver: str, message: Message) -> None:
        """See ``Witness``."""
        if self._is_over:
            return
        self._look(now)
        says, shown = what_is_said(message)
        shown = self._completed(sender, receiver, message, shown)
        arrow = Arrow(type(message).__name__, sender, receiver, now, None, says, shown)
        self._made.arrows.append(arrow)
        self._under_way.setdefault((sender, receiver), []).append((message, arrow))

    def on_delivered(self, now: float, sender: str, receiver: str, message: Message) -> None:
        """See ``Witness``."""
        if self._is_over:
            return
        self._look(now)
        waiting = self._under_way.get((sender, receiver), [])
        for number in reversed(range(len(waiting))):
            sent, arrow = waiting[number]
            if sent is message or sent == message:
                arrow.arrived = now
                del waiting[number]
                return

    def on_loaded(self, now: float, node: str, replica: Replica) -> None:
        """See ``Witness``."""
        if self._is_over:
            return
        self._look(now)
        for session_id in sorted(replica.session_ids()):
            self._keep(now, node, session_id, replica.record(session_id))

    def on_record(self, now: float, node: str, session_id: SessionId, held: Record | None) -> None:
        """See ``Witness``."""
        if self._is_over:
            return
        self._look(now)
        self._keep(now, node, session_id, held)

    def on_fault(self, now: float, fault: Fault, nodes: tuple[str, ...]) -> None:
        """See ``Witness``."""
        self._look(now)
        plan = self._made.plan
        is_permanent = plan.mode is Mode.LIVENESS and fault.at >= plan.permanent_from_s
        until = inf if is_permanent else now + fault.for_s * (fault.kind not in _AT_ONCE)
        struck = nodes[:1] if fault.kind in _OF_ONE else nodes
        self._made.faults.append(Struck(now, until, fault.kind, struck, _details(fault)))

    def on_operation(self, operation: Operation) -> None:
        """See ``Witness``."""
        self._made.operations.append(operation)

    # --- The whole of it ---

    def recording(self, violations: tuple[Violation, ...]) -> Recording:
        """Return everything, once the run is over; ``violations`` are all that were found."""
        made = self._made
        for spans in (made.states, made.troubles, made.acting):
            spans.sort(key=lambda span: span.since)
        late = [(each, made.ends_at, made.ends_at) for each in violations[len(self._found) :]]
        made.broken = [self._broken(*found) for found in (*self._found, *late)]
        return made

    def _broken(self, violation: Violation, after: float, until: float) -> Broken:
        operations = self._made.operations
        number = next(
            (
                number
                for number, each in reversed([*enumerate(operations)])
                if each.returned is not None and after <= each.returned <= until
                if violation.session and violation.session in (each.session, each.new_session)
            ),
            None,
        )
        if number is None or (asked := operations[number]).returned is None:
            # It has shown at rest, so it came about when all was healed, or before.
            healed_at = self._made.healed_at
            since = until - BEFORE_MAX_S if healed_at is None else healed_at - BEFORE_S
            return Broken(violation, until, None, max(0.0, since), until + AFTER_S)
        family = self._made.family_of()
        changes = [
            each.invoked - AFTER_S
            for each in operations[:number]
            if each.kind is not Kind.FIND and each.outcome is Outcome.OK
            if violation.writer in (None, each.client)
            if family[each.session] == family[asked.session]
        ]
        # The latest changes are what may have been lost; of one writer that is one.
        latest = CHANGES_TOLD if violation.writer is None else 1
        told = [*changes[-latest:], asked.invoked - BEFORE_S]
        since = max(min(told), asked.invoked - BEFORE_MAX_S, 0.0)
        return Broken(violation, asked.returned, number, since, asked.returned + AFTER_S)

    # --- Looking ---

    def _look(self, now: float) -> None:
        """Note what is not as it was when something happened last."""
        world, judge = self._world, self._judge
        if world is None or judge is None:
            return
        if len(judge.violations) > len(self._found):
            new = judge.violations[len(self._found) :]
            self._found += [(violation, self._seen_at, now) for violation in new]
        if world.healed and self._made.healed_at is None:
            self._made.healed_at = now
        for name in self._made.plan.names:
            process = world.processes.get(name)
            self._note(now, ("state", name), _state(process))
            disk = world.disks[name]
            trouble = "disk fails" if disk.failing else "disk slow" if disk.slowness > 1 else ""
            self._note(now, ("trouble", name), trouble)
            claims = process.replica.claims if process is not None else ()
            for home in self._made.plan.names:
                self._note(now, ("acting", home, name), "acts" if home in claims else "")
        for pair, road in world.roads.items():
            is_cut = world.cut.get(pair, 0) > 0
            trouble = "cut" if is_cut else "stalled" if road.stalls else ""
            self._note(now, ("trouble", *pair), trouble or "slow" * (road.slowness > 1))
        self._seen_at = now

    def _note(self, now: float, key: tuple[str, ...], what: str) -> None:
        """Note what is so somewhere; the empty word for nothing."""
        _, before = self._open.get(key, (0.0, ""))
        if what != before:
            if before:
                self._close(key, now)
            if what:
                self._open[key] = now, what

    def _close(self, key: tuple[str, ...], until: float) -> None:
        since, what = self._open.pop(key)
        made = self._made
        spans = {"state": made.states, "trouble": made.troubles, "acting": made.acting}[key[0]]
        if until > since:
            spans.append(Span(since, until, key[1:], what))

    def _keep(self, now: float, node: str, session_id: SessionId, held: Record | None) -> None:
        assert self._world is not None
        session = text_of(session_id)
        if held is None:
            self._made.kept.append(Kept(now, node, Shown(session)))
            self._has[node].discard(session)
            return
        here = self._world.processes[node].clock(now)
        self._made.kept.append(Kept(now, node, described(session, held, here)))
        self._has[node].add(session)

    # --- Which sessions a message is about, where it gives only a number ---

    def _completed(
        self, sender: str, receiver: str, message: Message, shown: tuple[Shown, ...]
    ) -> tuple[Shown, ...]:
        match message:
            case Changes():
                numbered = self._numbered.setdefault((sender, receiver), [])
                numbered += [each.session for each in shown]
            case Acks(upto, _):
                link = receiver, sender
                before = self._acknowledged[link]
                self._acknowledged[link] = max(before, upto)
                return tuple(map(Shown, self._numbered.get(link, [])[before:upto]))
            case Ask(number, _):
                self._asked[sender, receiver, "ask", number] = shown[0].session
            case Find(number) | Save(number) | End(number) | Rotate(number):
                self._asked[sender, receiver, "request", number] = shown[0].session
            case Answer(number):
                return self._named((receiver, sender, "ask", number), shown)
            case Found(number) | Absent(number) | Saved(number) | Failed(number) | Redirect(number):
                return self._named((receiver, sender, "request", number), shown)
            case _:
                pass
        return shown

    def _named(
        self, asked: tuple[str, str, str, int], shown: tuple[Shown, ...]
    ) -> tuple[Shown, ...]:
        session = self._asked.pop(asked, "")
        if not session:
            return ()
        return tuple(Shown(session, it.note, it.entries) for it in shown) or (Shown(session),)


def _state(process: "AnyProcess | None") -> str:
    if process is None:
        return "down"
    if process.frozen:
        return "frozen"
    if process.replica.draining:
        return "draining"
    return "ready" if process.replica.ready else "recovering"


def _details(fault: Fault) -> str:
    words = [f"disk {fault.disk}"] * (fault.disk is not Disk.KEPT)
    words += [f"amount {fault.amount:g}"] * bool(fault.amount)
    if isinstance(fault.trigger, Trigger):
        words.append(f"{fault.delay_s:.3f} s after: {fault.trigger}")
    words += ["waited until all were settled"] * fault.gated
    return ", ".join(words)
