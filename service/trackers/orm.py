"""The tables of trackers: how far each of them has been told, job by job."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base, UtcDateTime

__all__ = ["Tracker", "TrackerCursor"]


class Tracker(Base):
    """A tracker that is or was switched on, who serves it, and how that goes."""

    __tablename__ = "trackers"

    name: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    """`mlflow` or `tensorboard`."""
    target: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of where it is: another place knows nothing of what was told here."""
    first_seq: Mapped[int] = mapped_column(sa.BigInteger)
    """The last job that was there when it was switched on: of these, only those that had not ended are told."""
    seen_seq: Mapped[int] = mapped_column(sa.BigInteger)
    """The last job that has a cursor."""
    holder: Mapped[str | None] = mapped_column(sa.String(64))
    """The worker beside which it is served; its lease is the worker's own."""
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When something was last told."""
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was first found away; None while it is there."""
    error: Mapped[str | None] = mapped_column(sa.String(500))
    """What it said then."""


class TrackerCursor(Base):
    """How much of a job, or of a sweep, a tracker has been told.

    No foreign key: a run whose job was removed before its end was told has to be closed all the same.
    """

    __tablename__ = "tracker_cursors"
    __table_args__ = (sa.Index("ix_tracker_cursors_tracker_ended", "tracker", "ended"),)

    tracker: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    subject: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """The id of the job or the sweep."""
    kind: Mapped[str] = mapped_column(sa.String(8))
    """`job` or `sweep`."""
    run: Mapped[str | None] = mapped_column(sa.String(500))
    """What the tracker calls it; None before it began."""
    status: Mapped[str | None] = mapped_column(sa.String(16))
    """The state that was last told."""
    epoch: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """The last epoch that was told."""
    event: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """The last event of the job at that time: later ones tell whether history was dropped and told anew."""
    version: Mapped[int] = mapped_column(sa.BigInteger, default=-1)
    """The job's version of which all was told."""
    ended: Mapped[bool] = mapped_column(default=False)
    """Whether there is nothing more to tell."""
