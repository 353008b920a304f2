"""The command line: ``sessionring serve`` runs one node, ``ring`` shows and sets the ring.

``why``, ``list``, ``show``, ``count`` and ``end`` are for whoever looks after its sessions.

Rules:
- What the user got wrong is one line on standard error and exit status 2, without a traceback.
- A node goes on when nobody reads its log any more.
- A node that is not a member any more hands over and stops, saying why, exit status 0.
- SIGTERM and SIGINT stop the node cleanly: what has changed is on the disk, exit status 0; or it is
  not, the disk takes nothing, exit status 1.
- Heavy imports wait until a command needs them, so that ``--help`` answers at once.
"""

import argparse
import contextlib
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from node.log import log_event

if TYPE_CHECKING:
    import trio

    from node.config import NodeConfig
    from node.node import Node

UNWRITTEN_STATUS = 1
USAGE_STATUS = 2
_LEVELS = ("debug", "info", "warning", "error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (by default the process's) name; return its status."""
    options = _parser().parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(f"sessionring {version('sessionring')}")
        return 0
    if options.command is None:
        _parser().print_usage(sys.stderr)
        return USAGE_STATUS
    try:
        return _COMMANDS[options.command](options)
    except KeyboardInterrupt:
        return 128 + 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sessionring", description="Keeps user sessions alive in a ring of processes."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    serve = commands.add_parser("serve", help="run one node of a ring until it is stopped")
    _add_config(serve)
    serve.add_argument(
        "--name", metavar="NAME", help="which member this is; default: SESSIONRING_NAME"
    )
    serve.add_argument("--log-level", choices=_LEVELS, default="info", help="default: info")
    repair = commands.add_parser(
        "repair", help="stamp anew what a wrong clock has stamped in the future, in a node's store"
    )
    _add_config(repair)
    repair.add_argument(
        "--name", metavar="NAME", help="whose store; default: SESSIONRING_NAME, or the only member"
    )
    ring = commands.add_parser("ring", help="show or change the ring that runs")
    actions = ring.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, what in (
        ("show", "print the ring that the nodes in the file know"),
        ("set", "have the nodes adopt the ring in the file"),
    ):
        described = actions.add_parser(action, help=what)
        _add_config(described)
        described.add_argument(
            "--name", metavar="NAME", help="whose certificate is used; default: the first member's"
        )
    for command, what in (
        ("why", "tell what has happened to a session, also after its end"),
        ("list", "list the sessions of a ring, with their ids"),
        ("show", "show a session: the names of its attributes, and their values on request"),
        ("count", "count the sessions of a ring by home"),
        ("end", "end a session"),
    ):
        described = commands.add_parser(command, help=what)
        if command in ("why", "show", "end"):
            described.add_argument("id", metavar="ID", help="the session's id, as in the cookie")
        _add_config(described)
        described.add_argument(
            "--name", metavar="NAME", help="whose certificate is used; default: the first member's"
        )
        described.add_argument("--json", action="store_true", help="print JSON, not a table")
        if command == "list":
            described.add_argument("--home", metavar="NAME", help="only the sessions of this home")
            described.add_argument(
                "--ended", action="store_true", help="also those that have ended and are remembered"
            )
        if command == "show":
            described.add_argument(
                "--values", action="store_true", help="also the values of the attributes"
            )
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", help="the ring's TOML file; default: SESSIONRING_CONFIG"
    )


def _administer(options: argparse.Namespace) -> int:
    from node.ring_command import load, set_ring, show_ring
    from ring.errors import ConfigError

    try:
        config = load(options.config, options.name)
        return show_ring(config) if options.action == "show" else set_ring(config)
    except ConfigError as error:
        _say(str(error))
        return USAGE_STATUS


def _look_after_sessions(options: argparse.Namespace) -> int:
    from node.ring_command import load
    from node.session_command import run
    from ring.errors import ConfigError

    try:
        return run(load(options.config, options.name), options)
    except ConfigError as error:
        _say(str(error))
        return USAGE_STATUS


def _repair(options: argparse.Namespace) -> int:
    from node.config import NodeConfig
    from node.repairing import repair
    from ring.errors import ConfigError, StoreError

    try:
        print(f"sessionring: {repair(NodeConfig.load(options.config, options.name))}")
    except (ConfigError, StoreError) as error:
        _say(str(error))
        return USAGE_STATUS
    return 0


def _serve(options: argparse.Namespace) -> int:
    from node.config import NodeConfig
    from ring.errors import ConfigError, StoreError

    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    try:
        config = NodeConfig.load(options.config, options.name)
        _check_listens(config)
        unwritten = _run(config)
    except (ConfigError, StoreError) as error:
        _say(str(error))
        return USAGE_STATUS
    if unwritten:
        _say(
            f"{config.name} has stopped, and its disk has not taken everything: "
            f"sessions={unwritten}"
        )
        return UNWRITTEN_STATUS
    return 0


def _check_listens(config: "NodeConfig") -> None:
    """Refuse a node that nobody could reach: in a process of its own it would be of no use.

    Raises:
        ConfigError: it listens nowhere.
    """
    from ring.errors import ConfigError

    if not config.listen_addresses:
        raise ConfigError(
            f"ring.members[0].address of {config.name!r} is missing, and so are node.listen and "
            'node.unix, so that nobody could reach the node; write one, such as "127.0.0.1:6801"'
        )


def _run(config: "NodeConfig") -> int:
    import trio

    return trio.run(_serve_until_told, config)


async def _serve_until_told(config: "NodeConfig") -> int:
    """Run the node; return how many sessions could not be written at the end."""
    import trio

    from node.background import background_nursery
    from node.node import open_node

    node: Node | None = None
    with trio.CancelScope() as told:
        async with background_nursery() as nursery:
            await nursery.start(_cancel_when_told, told)
            async with open_node(config) as node:
                nursery.start_soon(_cancel_when_removed, node, told)
                await node.wait_ready()
                where = ", ".join(node.addresses)
                _say(f"{node.name} is ready, listening at {where}")
                await trio.sleep_forever()
    return node.status().unwritten if node is not None else 0


async def _cancel_when_removed(node: "Node", scope: "trio.CancelScope") -> None:
    """Cancel ``scope`` when the ring has gone on without this node."""
    await node.wait_removed()
    _say(f"{node.name} is not a member of the ring {node.ring.name!r} any more, and stops")
    scope.cancel()


def _say(what: str) -> None:
    """Tell people, if there is anybody: a node goes on when nobody reads what it says."""
    with contextlib.suppress(OSError):
        print(f"sessionring: {what}", file=sys.stderr, flush=True)


async def _cancel_when_told(
    scope: "trio.CancelScope", *, task_status: "trio.TaskStatus[None]"
) -> None:
    """Cancel ``scope`` at the first signal. A second one stops the process at once."""
    import signal

    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            name = signal.Signals(number).name
            log_event(logging.INFO, "stopping", {"signal": name})
            break
    scope.cancel()


_COMMANDS = {
    "serve": _serve,
    "ring": _administer,
    "repair": _repair,
    **dict.fromkeys(("why", "list", "show", "count", "end"), _look_after_sessions),
}


if __name__ == "__main__":
    sys.exit(main())
