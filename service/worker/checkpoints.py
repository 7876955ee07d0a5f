"""The checkpoints of one attempt: when one is due, how it gets to the disk, and which one to go on from."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from service import failpoints
from service.exceptions import CheckpointDamaged, CheckpointUnusable
from service.jobs import orm
from service.jobs.attempts import JobRef, NewCheckpoint
from service.storage.checkpoints import CheckpointStore
from service.training.checkpoint import Checkpoint, from_bytes, to_bytes

__all__ = ["Checkpoints", "Resumable", "newest_usable"]

SHARE = 20
"""A checkpoint that takes long is taken less often, so that the training has 19 of 20 seconds."""


@dataclass(frozen=True, slots=True)
class Resumable:
    """Where an attempt goes on from.

    Attributes:
        row: What the database has of it; None where the training starts again.
        checkpoint: What is in its file.
        notes: What was wrong with newer ones.
    """

    row: orm.Checkpoint | None = None
    checkpoint: Checkpoint | None = None
    notes: list[str] = field(default_factory=list)


def newest_usable(store: CheckpointStore, rows: Sequence[orm.Checkpoint]) -> Resumable:
    """Read the newest checkpoint whose file is as it was written.

    Args:
        store: The folder of the checkpoints.
        rows: Of one job, the newest first.
    """
    notes: list[str] = []
    for row in rows:
        try:
            return Resumable(row, from_bytes(store.read(row.path, row.digest)), notes)
        except (CheckpointDamaged, CheckpointUnusable) as error:
            notes.append(f"The checkpoint {row.number} of epoch {row.epoch} is left aside: {error.message}")
    if notes:
        notes.append("No checkpoint is left to go on from: the training starts again.")
    return Resumable(notes=notes)


class Checkpoints:
    """Takes the checkpoints of one attempt."""

    def __init__(self, store: CheckpointStore, ref: JobRef, *, every: float, last: int) -> None:
        """Start to count the time to the first.

        Args:
            store: The folder of the checkpoints.
            ref: The attempt.
            every: Seconds between two.
            last: Number of the checkpoint that the attempt goes on from; 0 where there is none.
        """
        self._store = store
        self._ref = ref
        self._every = every
        self._number = last
        self._begun = 0.0
        self._due = time.monotonic() + every

    @property
    def is_due(self) -> bool:
        """Whether it is time to take one."""
        return time.monotonic() >= self._due

    def put_off(self) -> None:
        """Try again after the usual time."""
        self._due = time.monotonic() + self._every

    def write(self, checkpoint: Checkpoint, reason: str) -> NewCheckpoint:
        """Bring a checkpoint to the disk; nobody goes on from it before its row is committed.

        Args:
            checkpoint: Just captured.
            reason: `interval`, `pause`, `drain` or `yield`.

        Raises:
            DiskFull: There is no room; nothing of it stays behind.
        """
        begun = time.monotonic()
        self.put_off()
        file = self._store.write(self._ref.id, self._ref.attempt, self._number + 1, to_bytes(checkpoint))
        failpoints.hit("checkpoint_written")
        self._number += 1
        self._due = time.monotonic() + max(self._every, SHARE * (time.monotonic() - begun))
        return NewCheckpoint(
            number=self._number,
            reason=reason,
            epoch=checkpoint.epoch,
            fraction=checkpoint.fraction,
            path=file.path,
            digest=file.digest,
            size=file.size,
        )

    def remove(self, paths: Sequence[str]) -> None:
        """Take files away that no row names any more, or none ever did."""
        self._store.remove(paths)

    def remove_all(self) -> None:
        """Take away whatever the job has left: it has ended."""
        self._store.remove_job(self._ref.id)
