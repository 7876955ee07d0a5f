"""Having exports made: once, however many ask at the same time, and by a process of its own where they are large."""

import asyncio
import contextlib
import hashlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from service import __version__
from service.exceptions import DiskFull, ExportFailed, ExportNotAvailable, ExportsBusy
from service.exports.child import ENVIRONMENT, OUT_OF_MEMORY, REFUSED
from service.exports.formats import ExportFormat
from service.exports.orders import FILE, PARAMETERS, REFUSAL, REPORT, SPEC, ExportOrder, Refusal
from service.exports.report import Exported, Report
from service.exports.store import ExportStore
from service.exports.subject import Subject
from service.tables.disk import full_disk_told

__all__ = ["Budget", "Exporter", "MakerFailed"]

logger = structlog.get_logger(__name__)
MOST_IN_THE_MAKING = 16
"""So many exports are made or wait for it; more are refused."""
_MAKERS = ("torch", "onnx", "onnxruntime", "onnxscript")
_OF_MEMORY = {signal.SIGKILL, signal.SIGABRT}
_REVISION = "1"
"""Raised with each change of what an export holds: those that are kept are then made anew."""


LookUp = Callable[[], Subject]
"""Reads what is to be exported: asked again when its turn comes, so that what waits holds no tensors."""


class MakerFailed(Exception):
    """The process that makes an export ended in a way that is a fault of the service.

    Attributes:
        report: What it wrote to standard error.
    """

    def __init__(self, report: str) -> None:
        super().__init__(report)
        self.report = report


@dataclass(frozen=True, slots=True)
class Budget:
    """What making one export may take.

    Attributes:
        memory_bytes: Memory beyond that of the libraries.
        seconds: Time.
    """

    memory_bytes: int
    seconds: float


class Exporter:
    """Gives exports of one event loop: from the store, or made by a process of its own, so many at once."""

    def __init__(self, store: ExportStore, *, datasets: Path, slots: int, budget: Budget) -> None:
        """Start with nothing in the making.

        Args:
            store: Where they are kept.
            datasets: The folder of the stored datasets.
            slots: How many are made at the same time.
            budget: What each may take.
        """
        self._store, self._datasets, self._budget = store, datasets, budget
        self._slots = asyncio.Semaphore(slots)
        self._making: dict[tuple[str, str], asyncio.Task[Exported]] = {}

    async def get(self, name: ExportFormat, look_up: LookUp) -> tuple[str, Exported]:
        """Give an export in a format that is made by a process of its own, and the model's title.

        Args:
            name: The format.
            look_up: Reads the model; called in threads, and its errors are raised here.

        Raises:
            ExportNotAvailable: The format cannot carry the model.
            ExportFailed: It could not be made within the budget, or gives something else than the service.
            ExportsBusy: Too many others wait.
            DiskFull: There is no room to make it.
            MakerFailed: The process failed for a reason of its own.
        """
        title, place = await asyncio.to_thread(self._place, name, look_up)
        found = await asyncio.to_thread(self._store.read, *place)
        if found is not None:
            return title, found
        task = self._making.get(place) or self._begun(name, look_up, place)
        # Shielded: the others who wait for it do not go away with one of them.
        return title, await asyncio.shield(task)

    def _place(self, name: ExportFormat, look_up: LookUp) -> tuple[str, tuple[str, str]]:
        """Name a model, and where its export is kept."""
        subject = look_up()
        return subject.title, (subject.id, self._store.key(name, _versions(), digest=_digest_of(subject)))

    def _begun(self, name: ExportFormat, look_up: LookUp, place: tuple[str, str]) -> asyncio.Task[Exported]:
        if len(self._making) >= MOST_IN_THE_MAKING:
            raise ExportsBusy(f"{len(self._making)} exports are being made or wait for it.")
        task = asyncio.create_task(self._made(name, look_up))
        self._making[place] = task
        task.add_done_callback(lambda done: self._ended(place, done))
        return task

    async def close(self) -> None:
        """End what is being made."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, place: tuple[str, str], task: asyncio.Task[Exported]) -> None:
        self._making.pop(place, None)
        if not task.cancelled():
            # Looked at, or asyncio would complain of an error that nobody waited for: they may all have gone away.
            task.exception()

    async def _made(self, name: ExportFormat, look_up: LookUp) -> Exported:
        async with self._slots:
            # Read only now: the parameters of all that wait would take their memory together.
            subject = await asyncio.to_thread(look_up)
            async with self._workspace() as folder:
                exported = await self._by_child(name, subject, folder)
            await asyncio.to_thread(self._kept, name, subject, exported)
            return exported

    @contextlib.asynccontextmanager
    async def _workspace(self) -> AsyncIterator[Path]:
        """Make and remove the folder in threads: there may be much in it."""
        workspace = self._store.workspace()
        folder = await asyncio.to_thread(workspace.__enter__)
        try:
            yield folder.resolve()
        finally:
            await asyncio.shield(asyncio.to_thread(workspace.__exit__, None, None, None))

    def _kept(self, name: ExportFormat, subject: Subject, exported: Exported) -> None:
        """Keep an export; one that cannot be kept is still given, and made anew the next time."""
        key = self._store.key(name, _versions(), digest=_digest_of(subject))
        try:
            self._store.write(subject.id, key, exported.data, exported.report)
        except (OSError, DiskFull) as error:
            logger.warning("an export could not be kept", format=name, of=subject.id, error=str(error))

    async def _by_child(self, name: ExportFormat, subject: Subject, folder: Path) -> Exported:
        await asyncio.to_thread(_laid_out, subject, folder)
        order = ExportOrder(
            format=name,
            folder=folder,
            title=subject.title,
            id=subject.id,
            datasets=self._datasets.resolve(),
            memory_bytes=self._budget.memory_bytes,
            seconds=self._budget.seconds,
        )
        log = folder / "maker.log"
        code = await _run(order, log)
        _judge(code, order, log)
        return await asyncio.to_thread(_result, folder)


def _laid_out(subject: Subject, folder: Path) -> None:
    with full_disk_told("There is no room for an export on the disk."):
        (folder / SPEC).write_text(subject.spec_text, "utf-8")
        (folder / PARAMETERS).write_bytes(subject.parameters)


def _result(folder: Path) -> Exported:
    report = Report.model_validate_json((folder / REPORT).read_bytes())
    return Exported(data=(folder / FILE).read_bytes(), report=report)


def _digest_of(subject: Subject) -> str:
    spec = hashlib.sha256(subject.spec_text.encode()).hexdigest()
    return f"{_REVISION} {hashlib.sha256(subject.parameters).hexdigest()} {spec}"


def _versions() -> dict[str, str]:
    found = {"fitd": __version__}
    for package in _MAKERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


async def _run(order: ExportOrder, log: Path) -> int:
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "service.exports.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=file,
            stderr=file,
            env={**os.environ, **ENVIRONMENT},
        )
    try:
        if process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(order.model_dump_json().encode() + b"\n")
                await process.stdin.drain()
        # Loading the libraries takes seconds of its own, more on a busy machine.
        return await asyncio.wait_for(process.wait(), order.seconds * 2 + 60)
    except TimeoutError:
        return -signal.SIGXCPU
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())


def _judge(code: int, order: ExportOrder, log: Path) -> None:
    """Say in an exception how the process ended; nothing when all is well."""
    if code == 0:
        return
    if code == REFUSED:
        refusal = Refusal.model_validate_json((order.folder / REFUSAL).read_bytes())
        raise (ExportFailed if refusal.is_failure else ExportNotAvailable)(refusal.message, hint=refusal.hint)
    if code == -signal.SIGXCPU:
        raise ExportFailed(
            f"Making the `{order.format}` export takes longer than {order.seconds:g} seconds.",
            hint="Ask the operator to raise FITD_EXPORT_SECONDS.",
        )
    if code == OUT_OF_MEMORY or -code in _OF_MEMORY:
        raise ExportFailed(
            f"Making the `{order.format}` export takes more than {order.memory_bytes:,} bytes of memory.",
            hint="Ask the operator to raise FITD_EXPORT_MEMORY_BYTES.",
        )
    raise MakerFailed(log.read_text("utf-8", "replace")[-4000:])
