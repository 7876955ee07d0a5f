"""A data folder with jobs, datasets and checkpoints in it, of any age, for what tidies up or carries away."""

import hashlib
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.datasets import service as datasets
from service.datasets.orm import Dataset
from service.db import Database, now
from service.jobs.attempts import Ended, JobRef
from service.jobs.orm import Checkpoint, Job
from service.settings import Retention, Settings
from service.storage.checkpoints import CheckpointStore
from service.tables.files import damaged_files, read_manifest
from service.tables.reading import read_table
from service.tables.store import DatasetStore
from tests.jobs.desk import OWNER, SUCCEEDED, Desk, progress
from tests.tables.uploads import order

AT_ONCE = 1e-9
"""An age that everything has."""


class Household(Desk):
    """The desk of a data folder."""

    def __init__(self, data_dir: Path, database: Database) -> None:
        super().__init__(database)
        self.settings = Settings(
            data_dir=data_dir, database_url=database.engine.url.render_as_string(hide_password=False)
        )
        self.datasets = DatasetStore(self.settings.datasets_dir)
        self.checkpoints = CheckpointStore(self.settings.checkpoints_dir, min_free_bytes=0)

    def with_rules(self, **rules: Any) -> Settings:  # noqa: ANN401
        """The settings with rules of retention."""
        return self.settings.model_copy(update={"retention": Retention(**rules)})

    def ended(
        self, *, days_ago: float = 0.0, reports: int = 2, how: Ended = SUCCEEDED, **columns: object
    ) -> str:
        """A job that ended so long ago, with history and events."""
        ref = self.running()
        for number in range(reports):
            self.report(ref, progress(1 + 3 * number, 3))
        self.finish(ref, how)
        self.alter(ref.id, finished_at=now() - timedelta(days=days_ago), **columns)
        return ref.id

    def alter(self, job_id: str, **columns: object) -> None:
        """Change the row of a job, as time would."""
        with self.database.write() as session:
            session.execute(sa.update(Job).where(Job.id == job_id).values(**columns))

    def ids(self) -> set[str]:
        with self.database.read() as session:
            return set(session.scalars(sa.select(Job.id)))

    def upload(self, text: str = "x,y\n1,2\n3,4\n", *, owner: str = OWNER, days_ago: float = 0.0) -> Dataset:
        """A dataset that was uploaded so long ago."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        if not self.datasets.has(digest):
            asked = order(text.encode())
            read_table(asked)
            manifest = read_manifest(asked.folder).model_copy(update={"digest": digest})
            manifest.write(asked.folder)
            self.datasets.folder(digest).parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(asked.folder, self.datasets.folder(digest))
        then = now() - timedelta(days=days_ago)
        os.utime(self.datasets.folder(digest), (then.timestamp(),) * 2)
        with self.database.write() as session:
            manifest = read_manifest(self.datasets.folder(digest))
            dataset, _ = datasets.register(session, manifest, owner=owner, name=None)
            session.execute(sa.update(Dataset).where(Dataset.id == dataset.id).values(created_at=then))
        return dataset

    def dataset_ids(self) -> set[str]:
        with self.database.read() as session:
            return set(session.scalars(sa.select(Dataset.id)))

    def checkpoint(self, ref: JobRef, number: int, data: bytes = b"checkpoint") -> str:
        """A checkpoint with its row, as the worker makes it; gives its path."""
        stored = self.checkpoints.write(ref.id, ref.attempt, number, data)
        with self.database.write() as session:
            seq = session.scalars(sa.select(Job.seq).where(Job.id == ref.id)).one()
            row = Checkpoint(
                job_seq=seq, number=number, attempt=ref.attempt, reason="interval", created_at=now(), epoch=1,
                fraction=0.5, path=stored.path, digest=stored.digest, size=stored.size, environment={},
            )  # fmt: skip
            session.add(row)
        return stored.path

    def checkpoint_files(self) -> set[str]:
        root = self.settings.checkpoints_dir
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}

    def age_files(self, *, seconds: float) -> None:
        """Make all files and folders that old."""
        for path in self.settings.data_dir.rglob("*"):
            os.utime(path, (time.time() - seconds,) * 2, follow_symlinks=False)

    def assert_whole(self) -> None:
        """No row without the file that it needs, no file without a row."""
        with self.database.read() as session:
            rows = session.execute(sa.select(Checkpoint.path, Checkpoint.digest)).all()
            digests = set(session.scalars(sa.select(Dataset.digest)))
        for path, digest in rows:
            self.checkpoints.read(path, digest)
        assert self.checkpoint_files() == {path for path, _ in rows}
        root = self.settings.datasets_dir
        there = (
            {path.name for path in root.iterdir() if not path.name.startswith(".")}
            if root.exists()
            else set()
        )
        assert there == digests
        for digest in digests:
            assert list(damaged_files(self.datasets.folder(digest))) == []
        incoming = root / ".incoming"
        assert not incoming.exists() or list(incoming.iterdir()) == []
