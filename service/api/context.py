"""What endpoints need of the running service, and who is calling."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.changes import Changes
from service.api.problems import Unauthorized
from service.db import Database
from service.doorbell import Doorbell
from service.inference.cache import PredictorCache
from service.settings import Settings

__all__ = ["Accept", "Context", "Owner", "Running", "api_key_required"]

LOCAL_OWNER = "local"
"""Whose jobs they are while the service has no managed keys: there is one owner."""


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a running service that endpoints work with."""

    settings: Settings
    database: Database
    doorbell: Doorbell
    changes: Changes
    predictors: PredictorCache


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Running = Annotated[Context, Depends(_context)]
Accept = Annotated[str | None, Header(include_in_schema=False)]

_bearer = HTTPBearer(auto_error=False, description="The API key, where the service was started with one.")


def api_key_required(
    running: Running, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> str:
    """Check the API key, if the service has one, and tell the owner.

    Raises:
        Unauthorized: The key is missing or wrong.
    """
    key = running.settings.api_key
    # Headers arrive decoded as Latin-1, one character a byte; what was sent are the bytes.
    credentials = sent.credentials.encode("latin-1") if sent else b""
    if key is not None and not _same(credentials, key.get_secret_value().encode()):
        raise Unauthorized
    return LOCAL_OWNER


def _same(sent: bytes, key: bytes) -> bool:
    """Compare digests in constant time: neither length nor content of the key can be timed."""
    return hmac.compare_digest(hashlib.sha256(sent).digest(), hashlib.sha256(key).digest())


Owner = Annotated[str, Depends(api_key_required)]
