"""A database with registered models in it, for tests that act as clients."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from service.registry import service
from service.registry.fits import NewVersion, fit_of
from service.registry.orm import Artifact, Model, ModelVersion
from service.registry.service import Registration
from service.spec.job import JobSpec
from tests.jobs.desk import OWNER, SUCCEEDED, Desk

INPUTS = [{"name": "x", "kind": "number", "missing": False}]
OUTPUTS = [{"name": "y", "kind": "number"}]


class ModelDesk(Desk):
    """One database, each call one transaction."""

    def ended(self, *, parameters: bytes = b"tensors", owner: str = OWNER) -> str:
        """A job that succeeded with these parameters."""
        job_id = self.submit(owner=owner)
        (ref,) = [ref for ref in self.claim(100) if ref.id == job_id]
        self.finish(ref, dataclasses.replace(SUCCEEDED, parameters=parameters))
        return job_id

    def new_version(self, job_id: str, *, owner: str = OWNER) -> NewVersion:
        with self.database.read() as session:
            fit = fit_of(session, job_id, owner=owner)
        lineage = fit.lineage(JobSpec.from_text(fit.spec_text))
        return NewVersion(fit.artifact(), INPUTS, OUTPUTS, fit.job.result, lineage)

    def register(
        self,
        name: str,
        job_id: str,
        *,
        owner: str = OWNER,
        **asked: Any,  # noqa: ANN401 - of a registration
    ) -> tuple[ModelVersion, bool]:
        new = self.new_version(job_id, owner=owner)
        with self.database.write() as session:
            return service.register(session, Registration(name, job_id, **asked), new, owner=owner)

    def find(self, name: str, version: str | None = None, *, owner: str = OWNER) -> ModelVersion:
        with self.database.read() as session:
            return service.find_version(session, name, version=version, owner=owner)

    def call(self, verb: Callable[..., Any], *arguments: str, owner: str = OWNER, **named: str) -> Any:  # noqa: ANN401
        """One of the service's verbs in a transaction of its own."""
        with self.database.write() as session:
            return verb(session, *arguments, owner=owner, **named)

    def count(self, table: type[Artifact | Model | ModelVersion]) -> int:
        with self.database.read() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make some calls at the same time, and give what each gave or raised."""
    gate, found = threading.Barrier(len(calls)), [None] * len(calls)

    def make(place: int) -> None:
        gate.wait()
        try:
            found[place] = calls[place]()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            found[place] = error

    threads = [threading.Thread(target=make, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
