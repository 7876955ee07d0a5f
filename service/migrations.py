"""The database's schema: brought up to date by Alembic, and checked before anybody relies on it."""

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from alembic import command
from service.db import Database
from service.exceptions import DatabaseNotReady

__all__ = ["check_schema", "downgrade", "head", "migrate", "schema_is_current"]


def _script_location() -> Path:
    """Find the migrations: inside an installed package, or beside it in a source tree."""
    here = Path(__file__).parent
    packaged = here / "_alembic"
    return packaged if packaged.is_dir() else here.parent / "alembic"


def _config(connection: sa.Connection | None = None) -> Config:
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
        with database.migration() as connection:
            _refuse_newer(connection)
            command.upgrade(_config(connection), "head")


def _refuse_newer(connection: sa.Connection) -> None:
    """Make sure that this version knows the schema that is there."""
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        message = f"The database has the schema {found}, which this version of fitd does not know."
        raise DatabaseNotReady(message, hint="It was made by a newer version: run that one.")


def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to an older revision; `base` empties it."""
    with database.migration() as connection:
        command.downgrade(_config(connection), revision)


def schema_is_current(database: Database) -> bool:
    """Tell whether the schema is the one that this version needs."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head()


def head() -> str:
    """Name the schema that this version needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def check_schema(database: Database) -> None:
    """Make sure that the schema is current.

    Raises:
        DatabaseNotReady: It is missing, older, or made by a newer version.
    """
    if not schema_is_current(database):
        with database.engine.connect() as connection:
            _refuse_newer(connection)
        raise DatabaseNotReady
