"""`fitd keys`: make, list and revoke API keys, also while the service runs."""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from service.access import repository, service
from service.access.orm import ApiKey
from service.access.scopes import Scope
from service.access.service import NewKey, state_of
from service.db import Database

__all__ = ["ACTIONS", "add_actions"]

Action = Callable[[Database, argparse.Namespace], Iterator[str]]
"""Does what was asked and gives the lines to print."""


def add_actions(parser: argparse.ArgumentParser, folder: argparse.ArgumentParser) -> None:
    """Add what `fitd keys` can do to its parser.

    Args:
        parser: That of the command.
        folder: The arguments that every action takes.
    """
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    create = actions.add_parser("create", parents=[folder], help="make a key; its secret is shown once")
    create.add_argument("--name", metavar="N", required=True, help="who or what will use it")
    create.add_argument(
        "--owner", metavar="O", default="local", help="whose jobs and datasets it is for (local)"
    )
    create.add_argument(
        "--scopes",
        metavar="S",
        type=_scopes,
        default=["read", "write"],
        help="of read,write,admin (read,write)",
    )
    create.add_argument(
        "--expires-in-days", metavar="D", type=float, help="stop working after so long (never)"
    )
    create.add_argument(
        "--max-unfinished-jobs",
        metavar="N",
        type=int,
        help="jobs of the owner that may be unfinished (any number)",
    )
    create.add_argument(
        "--requests-per-minute", metavar="N", type=int, help="calls that it may make (any number)"
    )
    lists = actions.add_parser("list", parents=[folder], help="show all keys, without their secrets")
    for action in (create, lists):
        action.add_argument("--json", action="store_true", help="write JSON")
    revoke = actions.add_parser("revoke", parents=[folder], help="let a key work no more, within a second")
    revoke.add_argument("id", metavar="ID", help="as `fitd keys list` shows it")


def _scopes(text: str) -> list[Scope]:
    try:
        return [Scope(part.strip()) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"of {', '.join(Scope)}, with commas between") from None


def _create(database: Database, options: argparse.Namespace) -> Iterator[str]:
    wanted = NewKey(
        name=options.name,
        owner=options.owner,
        scopes=options.scopes,
        expires_in_days=options.expires_in_days,
        max_unfinished_jobs=options.max_unfinished_jobs,
        requests_per_minute=options.requests_per_minute,
    )
    with database.write() as session:
        key, secret = service.create(session, wanted)
    if options.json:
        yield json.dumps({**_as_json(key), "secret": secret}, indent=2)
        return
    yield secret
    yield ""
    yield f"This is the secret of {key.id}, a key of the owner {key.owner}. It is not shown again."
    yield "Callers send it as `Authorization: Bearer <secret>`. From now on every call under /v1 needs a key."


def _list(database: Database, options: argparse.Namespace) -> Iterator[str]:
    with database.read() as session:
        keys = repository.every(session)
    if options.json:
        yield json.dumps([_as_json(key) for key in keys], indent=2)
        return
    if not keys:
        yield "There are no keys. `fitd keys create --name …` makes one."
        return
    yield from _aligned([_HEAD, *(_row(key) for key in keys)])


def _revoke(database: Database, options: argparse.Namespace) -> Iterator[str]:
    with database.write() as session:
        key = service.revoke(session, options.id)
    yield f"{key.id} ({key.name}) is revoked since {_minute(key.revoked_at)}."


ACTIONS: dict[str, Action] = {"create": _create, "list": _list, "revoke": _revoke}

_HEAD = ("id", "state", "owner", "scopes", "expires", "last used", "jobs", "per minute", "name")


def _row(key: ApiKey) -> tuple[str, ...]:
    bounds = (key.max_unfinished_jobs, key.requests_per_minute)
    return (
        key.id,
        state_of(key),
        key.owner,
        key.scopes,
        _minute(key.expires_at),
        _minute(key.last_used_at),
        *("-" if bound is None else str(bound) for bound in bounds),
        key.name,
    )


def _minute(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _as_json(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "object": "api_key",
        "name": key.name,
        "owner": key.owner,
        "scopes": key.scopes.split(","),
        "state": state_of(key),
        "created_at": _iso(key.created_at),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
        "last_used_at": _iso(key.last_used_at),
        "max_unfinished_jobs": key.max_unfinished_jobs,
        "requests_per_minute": key.requests_per_minute,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
