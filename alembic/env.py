"""Alembic's entry: migrates the engine that `service.migrations` hands over."""

import sqlalchemy as sa

from alembic import context
from service.access import orm as _access  # noqa: F401 - its table joins the metadata
from service.datasets import orm as _datasets  # noqa: F401 - its tables join the metadata
from service.jobs import orm
from service.registry import orm as _registry  # noqa: F401 - its tables join the metadata
from service.sweeps import orm as _sweeps  # noqa: F401 - its tables join the metadata
from service.trackers import orm as _trackers  # noqa: F401 - its tables join the metadata

connection: sa.Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=orm.Job.metadata,
    # SQLite changes a table by copying it; PostgreSQL is not bothered by the same migration.
    render_as_batch=True,
    compare_type=True,
    compare_server_default=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
