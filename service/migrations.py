"""The database's schema: brought up to date by Alembic, and checked before anybody relies on it."""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from service.db import Database
from service.exceptions import DatabaseNotReady

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["HEAD", "check_schema", "downgrade", "migrate", "schema_is_current"]

HEAD = "0009"
"""The schema that this version needs: the newest revision in `alembic/versions`. Each process compares it with the
database's when it starts, and only the one that has to migrate loads Alembic, which takes longer than all the rest.
"""
_VERSIONS = sa.table("alembic_version", sa.column("version_num", sa.String))


def _script_location() -> Path:
    """Find the migrations: inside an installed package, or beside it in a source tree."""
    here = Path(__file__).parent
    packaged = here / "_alembic"
    return packaged if packaged.is_dir() else here.parent / "alembic"


def _config(connection: sa.Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_script_location()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(database: Database) -> None:
    """Create or upgrade the schema; nothing happens where it is current. Safe to call from two processes at once.

    Raises:
        DatabaseNotReady: The schema was made by a newer version.
    """
    if not schema_is_current(database):
        from alembic import command

        with database.migration() as connection:
            _refuse_newer(connection)
            command.upgrade(_config(connection), "head")


def _refuse_newer(connection: sa.Connection) -> None:
    """Make sure that this version knows the schema that is there."""
    from alembic.script import ScriptDirectory

    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        message = f"The database has the schema {found}, which this version of fitd does not know."
        raise DatabaseNotReady(message, hint="It was made by a newer version: run that one.")


def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to an older revision; `base` empties it."""
    from alembic import command

    with database.migration() as connection:
        command.downgrade(_config(connection), revision)


def schema_is_current(database: Database) -> bool:
    """Tell whether the schema is the one that this version needs."""
    with database.engine.connect() as connection:
        return _revision(connection) == HEAD


def _revision(connection: sa.Connection) -> str | None:
    """Name the schema that is there; None where there is none."""
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return None
    return connection.scalar(sa.select(_VERSIONS.c.version_num))


def check_schema(database: Database) -> None:
    """Make sure that the schema is current.

    Raises:
        DatabaseNotReady: It is missing, older, or made by a newer version.
    """
    if not schema_is_current(database):
        with database.engine.connect() as connection:
            _refuse_newer(connection)
        raise DatabaseNotReady
