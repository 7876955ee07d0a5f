"""A throw-away PostgreSQL server from the installed binaries, for tests and for whoever wants to shake one."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from service import migrations
from service.db import Database

__all__ = ["PostgresServer", "what_is_missing"]

TEMPLATE = "fitd_template"
SETTINGS = {
    # A power cut is no subject of the tests. A server that dies is: what it has committed must be there again.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "timezone": "Asia/Kolkata",  # A zone that no test expects, to see that none matters.
}

_END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
_NUMBER_ANEW = "SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'"
# All that a migration or a test may change; columns by their place, for a table that lost one and got it back.
_SCHEMA = """
    SELECT 'column', attrelid::regclass::text, attnum || attname || format_type(atttypid, atttypmod) || attnotnull
        || coalesce(pg_get_expr(adbin, adrelid), '')
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'constraint', conrelid::regclass || conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger', tgrelid::regclass || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'revision', version_num, '' FROM alembic_version
    ORDER BY 1, 2, 3
"""


def _binaries() -> Path | None:
    """Find the folder with `initdb` and `postgres`."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


def what_is_missing() -> str:
    """Say why no server can be started here; empty where one can."""
    try:
        import psycopg  # noqa: F401 - its import is the question
    except ImportError:
        return "the driver psycopg is not installed: pip install 'fitd[postgresql]'"
    return "" if _binaries() else "PostgreSQL's initdb and postgres are not installed"


def _account() -> int | None:
    """Give a user id for the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise LookupError("neither the user postgres nor nobody is there")


class PostgresServer:
    """A server of its own in a temporary folder, on a free port of 127.0.0.1, that trusts everybody there."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            RuntimeError: Something that it takes is not installed here.
        """
        if missing := what_is_missing():
            raise RuntimeError(missing)
        self._returned: list[str] = []
        self._schema: list[tuple[object, ...]] | None = None
        self._binaries = _binaries() or Path()
        self._user = _account()
        self._folder = Path(tempfile.mkdtemp(prefix="fitd-postgres-"))
        self._data = self._folder / "data"
        if self._user is not None:
            os.chown(self._folder, self._user, -1)
        self._run(
            "initdb", "--pgdata", str(self._data), "--username=fitd", "--auth=trust", "--no-sync", "-EUTF8"
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        settings = {**SETTINGS, "port": self.port}
        with (self._data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._process = self._start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        done = subprocess.run(command, user=self._user, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def _start(self) -> subprocess.Popen[bytes]:
        command = [str(self._binaries / "postgres"), "-D", str(self._data)]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(command, user=self._user, cwd="/", stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            if self._answers():
                return process
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start:\n{(self._folder / 'log').read_text('utf-8')}")

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self._dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _dsn(self, name: str) -> str:
        return f"postgresql://fitd@127.0.0.1:{self.port}/{name}"

    def url(self, name: str) -> str:
        """Give the URL of a database, as the service takes it."""
        return self._dsn(name)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End the server: as a crash with SIGQUIT (`immediate`), cleanly with SIGINT (`fast`)."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        self._process.wait(30)

    def start(self) -> None:
        """Start it again, after it was stopped."""
        self._process = self._start()

    def restart(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop and start it: all connections are lost."""
        self.stop(how)
        self.start()

    def create(self, *, migrated: bool = True) -> str:
        """Make a database of a new name, with the schema in it or empty, and give its URL."""
        name = f"fitd_{secrets.token_hex(6)}"
        if migrated and not self._is_there(TEMPLATE):
            self._make_template()
        self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        return self.url(name)

    def lend(self) -> str:
        """Give the URL of a database with the schema in it and no rows; one that was given back before, if there is one.

        To make a database takes far longer than to empty one.
        """
        return self._returned.pop() if self._returned else self.create()

    def give_back(self, url: str) -> None:
        """Empty a lent database for the next one who asks. One whose schema was changed is removed."""
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            tables = [name for (name,) in connection.execute(_TABLES)]
            if self._schema is None:
                with psycopg.connect(self._dsn(TEMPLATE), autocommit=True) as template:
                    self._schema = template.execute(_SCHEMA).fetchall()
            is_whole = connection.execute(_SCHEMA).fetchall() == self._schema
            if is_whole:
                # Ten times as fast as TRUNCATE, which makes a new file for each table and index.
                connection.execute("SET session_replication_role = replica")  # Asks for no order of tables.
                for table in tables:
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names that the catalog told
                connection.execute(_NUMBER_ANEW)
        if is_whole:
            self._returned.append(url)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        """Remove a database, whoever uses it."""
        self._execute(f"DROP DATABASE {sa.make_url(url).database} WITH (FORCE)")

    def _make_template(self) -> None:
        self._execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        database = Database(self.url(TEMPLATE))
        migrations.migrate(database)
        database.close()

    def _is_there(self, name: str) -> bool:
        import psycopg

        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            return connection.execute(query, (name,)).fetchone() is not None

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def ask_for_passwords(self) -> None:
        """Trust nobody any more who comes in by TCP."""
        (self._data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while self._answers():
            assert time.monotonic() < deadline, "the server still trusts everybody"
            time.sleep(0.02)

    def close(self) -> None:
        """End the server and remove all it had."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
