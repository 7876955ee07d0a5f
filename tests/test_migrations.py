"""The migrations build what the code expects, from nothing and back, whoever runs them and however often."""

import multiprocessing
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from service import migrations
from service.db import Base, Database
from service.exceptions import DatabaseNotReady
from service.jobs import orm
from tests.conftest import ROOT, SYSTEMS
from tests.worker.runners import migrates

SPAWN = multiprocessing.get_context("spawn")


SCHEMA_QUERIES = {
    "sqlite": "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'sqlite_sequence'",
    # Columns are sorted by name: a table that lost and got back a column has it in another place.
    "postgresql": """
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT table_name || '.' || column_name,
            concat_ws(' ', data_type, character_maximum_length, is_nullable, column_default)
            FROM information_schema.columns WHERE table_schema = 'public'
    """,
}


def test_the_head_that_is_told_is_the_newest_revision() -> None:
    assert ScriptDirectory(str(ROOT / "alembic")).get_current_head() == migrations.HEAD


def schema_of(database: Database) -> set[tuple[str, str]]:
    with database.read() as session:
        rows = session.execute(sa.text(SCHEMA_QUERIES[database.engine.dialect.name])).all()
        return {(name, sql) for name, sql in rows}


@pytest.fixture
def direct(request: pytest.FixtureRequest, database: Database) -> Iterator[Database]:
    """Another database of the same system, in which the code itself made the tables."""
    with SYSTEMS[database.engine.dialect.name](request, migrated=False, name="direct") as direct:
        orm.Job.metadata.create_all(direct.engine)
        yield direct


def tables_of(database: Database) -> set[str]:
    return set(sa.inspect(database.engine).get_table_names())


def listed(found: object) -> list[str]:
    """What an inspector found, comparable: the order of constraints means nothing."""
    plain = [_plain(one) for one in (found if isinstance(found, list) else [found])]
    return sorted(map(str, plain))


def _plain(found: object) -> object:
    """Write SQL expressions as text: two of the same words are not equal as objects."""
    if isinstance(found, dict):
        return {name: _plain(value) for name, value in found.items()}
    return str(found) if isinstance(found, sa.ClauseElement) else found


def compared(change: object) -> bool:
    """Alembic reads an index with a descending column as another one; the test below compares it by its SQL."""
    return not (isinstance(change, tuple) and getattr(change[1], "name", None) == "ix_jobs_queue")


def test_migrating_makes_every_table(empty: Database) -> None:
    migrations.migrate(empty)
    assert tables_of(empty) == set(Base.metadata.tables) | {"alembic_version"}
    migrations.check_schema(empty)


def test_up_down_and_up_again_gives_the_same_schema(empty: Database) -> None:
    migrations.migrate(empty)
    first = schema_of(empty)
    migrations.downgrade(empty, "base")
    assert tables_of(empty) == {"alembic_version"}
    assert not migrations.schema_is_current(empty)
    migrations.migrate(empty)
    assert schema_of(empty) == first


def test_the_schema_is_what_the_tables_in_the_code_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert list(filter(compared, compare_metadata(context, orm.Job.metadata))) == []


def test_the_schema_is_the_one_that_the_code_itself_would_make(database: Database, direct: Database) -> None:
    for table in Base.metadata.tables:
        ours, theirs = (sa.inspect(one.engine) for one in (database, direct))
        for about in (
            "get_columns",
            "get_pk_constraint",
            "get_foreign_keys",
            "get_indexes",
            "get_unique_constraints",
        ):
            migrated, expected = (getattr(one, about)(table) for one in (ours, theirs))
            assert listed(migrated) == listed(expected), (table, about)
    queue = [[sql for name, sql in schema_of(one) if name == "ix_jobs_queue"] for one in (database, direct)]
    assert queue[0] == queue[1] != []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    with database.write() as session:
        session.execute(
            sa.text("INSERT INTO workers VALUES ('w', '2026-01-01', '2026-01-01', 0, 1, 0, '{}')")
        )
    before = schema_of(database)
    migrations.migrate(database)
    assert schema_of(database) == before
    with database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM workers")) == 1


def test_processes_may_migrate_at_the_same_time(empty: Database) -> None:
    url = empty.engine.url.render_as_string()
    processes = [SPAWN.Process(target=migrates, args=(url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert migrations.schema_is_current(empty)


def test_a_missing_schema_is_told_with_what_to_do(empty: Database) -> None:
    with pytest.raises(DatabaseNotReady) as error:
        migrations.check_schema(empty)
    assert "fitd migrate" in error.value.hint


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_an_older_or_newer_schema_is_told(database: Database, revision: str) -> None:
    with database.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    with pytest.raises(DatabaseNotReady):
        migrations.check_schema(database)


def test_the_database_works_after_a_migration(database: Database) -> None:
    with database.write() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM jobs")) == 0


def test_the_migrations_are_found_beside_the_source() -> None:
    folder = migrations._script_location()
    assert (folder / "env.py").is_file()
    assert not (folder / "__init__.py").exists()
