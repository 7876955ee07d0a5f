"""What operators can do with API keys. Nothing here commits: whoever opened the session does."""

import base64
import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from service.access import repository
from service.access.orm import ApiKey
from service.access.scopes import Scope
from service.db import drawn_id, now
from service.exceptions import InvalidRequest, KeyNotFound, Problem

__all__ = ["MAX_BOUND", "NewKey", "create", "digest_of", "revoke", "state_of"]

PREFIX = "fitd_"
"""Lets people, and scanners of source code, see what a text is."""
SECRET_BYTES = 32
MAX_BOUND = 2**31 - 1
MAX_DAYS = 36_500
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What a key is to be.

    Attributes:
        name: For people: who or what will use it.
        owner: Whose jobs and datasets its callers see.
        scopes: What they may do.
        expires_in_days: After so many days it stops working; never when None.
        max_unfinished_jobs: A submission is refused while the owner has so many jobs that have not ended.
        requests_per_minute: What is beyond it is refused.
    """

    name: str
    owner: str
    scopes: Collection[Scope]
    expires_in_days: float | None = None
    max_unfinished_jobs: int | None = None
    requests_per_minute: int | None = None


def create(session: Session, wanted: NewKey) -> tuple[ApiKey, str]:
    """Make a key.

    Returns:
        The key, and its secret: this is the only moment at which anybody knows it.

    Raises:
        InvalidRequest: With everything that the key cannot be.
    """
    problems = _problems(wanted)
    if problems:
        raise InvalidRequest(problems, " ".join(f"{one.message} {one.hint}" for one in problems))
    secret = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
    days = wanted.expires_in_days
    key = ApiKey(
        id=drawn_id("key"),
        name=wanted.name,
        owner=wanted.owner,
        digest=digest_of(secret.encode()),
        scopes=",".join(scope for scope in Scope if scope in wanted.scopes),
        created_at=now(),
        expires_at=None if days is None else now() + timedelta(days=days),
        max_unfinished_jobs=wanted.max_unfinished_jobs,
        requests_per_minute=wanted.requests_per_minute,
    )
    return repository.insert(session, key), secret


def _problems(wanted: NewKey) -> list[Problem]:
    days = wanted.expires_in_days
    checks = {
        "name": (_NAME.fullmatch(wanted.name), "It has 1 to 200 characters that can be shown."),
        "owner": (_OWNER.fullmatch(wanted.owner), "It has 1 to 64 letters, digits and . _ @ + -."),
        "scopes": (wanted.scopes, f"They are one or several of {', '.join(Scope)}."),
        "expires_in_days": (days is None or 0 < days <= MAX_DAYS, f"It is more than 0, up to {MAX_DAYS}."),
        "max_unfinished_jobs": (_is_bound(wanted.max_unfinished_jobs), "It is a whole number from 1."),
        "requests_per_minute": (_is_bound(wanted.requests_per_minute), "It is a whole number from 1."),
    }
    return [
        Problem(None, "out_of_range", f"The key's {name.replace('_', ' ')} cannot be this.", hint, name)
        for name, (good, hint) in checks.items()
        if not good
    ]


def _is_bound(value: int | None) -> bool:
    return value is None or 1 <= value <= MAX_BOUND


def digest_of(secret: bytes) -> str:
    """Give the digest by which a secret is looked up."""
    return hashlib.sha256(secret).hexdigest()


def revoke(session: Session, key_id: str) -> ApiKey:
    """Let a key work no more. Revoking it again changes nothing.

    Raises:
        KeyNotFound: There is no such key.
    """
    repository.revoke(session, key_id, now())
    key = repository.find(session, key_id)
    if key is None:
        raise KeyNotFound(f"There is no key `{key_id[:80]}`.")
    return key


def state_of(key: ApiKey) -> str:
    """Tell whether a key works: `active`, `revoked` or `expired`."""
    if key.revoked_at is not None:
        return "revoked"
    # The one place where a wall clock decides: an expiry is a date.
    return "expired" if key.expires_at is not None and key.expires_at <= now() else "active"
