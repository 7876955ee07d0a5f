"""What a database system must offer here."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import orjson
import sqlalchemy as sa

__all__ = ["JSON", "System"]


def _dumps(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return orjson.dumps(value).decode()


JSON: dict[str, Any] = {"json_serializer": _dumps, "json_deserializer": orjson.loads}
"""How an engine writes and reads JSON columns."""


class System(Protocol):
    """One database system: how to connect to it, how its writers share it, and which of its errors pass."""

    engine: sa.Engine
    reading: dict[str, object]
    """Execution options of sessions that look: one consistent state."""
    writing: dict[str, object]
    """Execution options of sessions that write."""
    hasty: dict[str, object]
    """The same, where a power cut may undo what was written as if it had never been."""
    trouble_hint: str
    """What an operator should look at when it cannot be used at all."""

    def turn(self) -> AbstractContextManager[None]:
        """Wait for the turn to write.

        Raises:
            DatabaseBusy: It does not come.
        """
        ...

    def prepare_migration(self, connection: sa.Connection) -> None:
        """Make a connection fit to change the schema: alone, and with nothing in its way."""
        ...

    def is_busy(self, error: Exception, *, writing: bool) -> bool:
        """Tell whether an error of a reading or a writing session passes by itself, so that trying again makes sense."""
        ...

    def about(self, connection: sa.Connection) -> str:
        """Describe the database in a few words, for an operator. Never with a password."""
        ...
