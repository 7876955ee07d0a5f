"""Batch predictions, each with a copy of its model until it has ended."""

import sqlalchemy as sa

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables; an older service does not look at them."""
    op.create_table(
        "predictions",
        sa.Column("seq", _COUNTER, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("model_name", sa.String(length=100), nullable=True),
        sa.Column("model_version", sa.Integer(), nullable=True),
        sa.Column("model_id", sa.String(length=64), nullable=True),
        sa.Column("model_digest", sa.String(length=64), nullable=False),
        sa.Column("dataset_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_digest", sa.String(length=64), nullable=False),
        sa.Column("keep", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(length=64), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("path", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_predictions")),
        sa.UniqueConstraint("id", name=op.f("uq_predictions_id")),
        sa.UniqueConstraint("owner", "idempotency_key", name=op.f("uq_predictions_owner_idempotency_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_predictions_status_seq", "predictions", ["status", "seq"], unique=False)
    op.create_index("ix_predictions_dataset_id", "predictions", ["dataset_id"], unique=False)
    op.create_index("ix_predictions_worker_id", "predictions", ["worker_id"], unique=False)
    op.create_table(
        "prediction_models",
        sa.Column("prediction_seq", _COUNTER, autoincrement=False, nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prediction_seq"],
            ["predictions.seq"],
            name=op.f("fk_prediction_models_prediction_seq_predictions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prediction_seq", name=op.f("pk_prediction_models")),
    )


def downgrade() -> None:
    """Drop the tables; the files of the results are left to be removed by hand."""
    op.drop_table("prediction_models")
    op.drop_index("ix_predictions_worker_id", table_name="predictions")
    op.drop_index("ix_predictions_dataset_id", table_name="predictions")
    op.drop_index("ix_predictions_status_seq", table_name="predictions")
    op.drop_table("predictions")
