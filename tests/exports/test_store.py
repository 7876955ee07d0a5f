"""Exports are kept whole or not at all, within bounds, and made once however many ask."""

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.exceptions import ExportFailed, ExportsBusy
from service.exports import asking
from service.exports import store as store_module
from service.exports.asking import Budget, Exporter
from service.exports.formats import ExportFormat
from service.exports.orders import FILE, REPORT, ExportOrder
from service.exports.report import Report
from service.exports.store import ExportStore
from service.exports.subject import Subject
from tests.exports.subjects import LINE, spec, subject_of


def report_of(data: bytes) -> Report:
    return Report(
        format="onnx",
        verified=True,
        how="",
        rows=1,
        largest_difference=0.0,
        largest_relative_difference=0.0,
        tolerance=0.0,
        bytes=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        versions={},
    )


def kept(store: ExportStore, name: str, data: bytes = b"12345678") -> None:
    store.write(name, "onnx-1", data, report_of(data))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    store = ExportStore(tmp_path, max_bytes=100)
    assert store.read("job_1", "onnx-1") is None
    kept(store, "job_1")
    found = store.read("job_1", "onnx-1")
    assert found is not None
    assert (found.data, found.report) == (b"12345678", report_of(b"12345678"))


def test_a_damaged_file_is_not_given(tmp_path: Path) -> None:
    store = ExportStore(tmp_path, max_bytes=100)
    kept(store, "job_1")
    (tmp_path / "job_1" / "onnx-1").write_bytes(b"1234567x")
    assert store.read("job_1", "onnx-1") is None


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    import os

    store = ExportStore(tmp_path, max_bytes=20)
    for place, name in enumerate(("job_1", "job_2")):
        kept(store, name)
        os.utime(tmp_path / name / "onnx-1", (place, place))
    assert store.read("job_1", "onnx-1")  # It is the younger one from here on.
    kept(store, "job_3")
    assert store.ids() == {"job_1", "job_3"}


def test_what_belongs_to_nobody_is_swept(tmp_path: Path) -> None:
    store = ExportStore(tmp_path, max_bytes=100)
    for name in ("job_1", "model_2"):
        kept(store, name)
    assert store.sweep({"model_2"}) == 1
    assert store.ids() == {"model_2"}
    store.remove("model_2")
    assert store.ids() == set()


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_no_id_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no id"):
        ExportStore(tmp_path, max_bytes=1).read(name, "x")


def exporter(root: Path, *, seconds: float = 100, memory: int = 2**31) -> Exporter:
    store = ExportStore(root, max_bytes=2**20)
    return Exporter(store, datasets=root, slots=1, budget=Budget(memory, seconds))


def test_one_export_is_made_for_all_who_ask(tmp_path: Path) -> None:
    subject = subject_of(spec(LINE))

    async def asked() -> None:
        shared = exporter(tmp_path)
        first, second = await asyncio.gather(
            *(shared.get(ExportFormat.PT2, lambda: subject) for _ in range(2))
        )
        assert first[1] is second[1]
        again = await exporter(tmp_path, seconds=0.01).get(ExportFormat.PT2, lambda: subject)
        assert again == first

    asyncio.run(asked())
    assert [one.name for one in (tmp_path / ".making").iterdir()] == []


def test_an_export_that_needs_too_much_memory_ends_only_itself(tmp_path: Path) -> None:
    subject = subject_of(spec(LINE))
    with pytest.raises(ExportFailed, match="bytes of memory"):
        asyncio.run(exporter(tmp_path, memory=2**20).get(ExportFormat.PT2, lambda: subject))


def faked(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let the process that makes exports wait for an event, and give a file of eight bytes."""
    go = asyncio.Event()

    async def run(order: ExportOrder, _: Path) -> int:
        await go.wait()
        (order.folder / FILE).write_bytes(b"12345678")
        (order.folder / REPORT).write_text(report_of(b"12345678").model_dump_json())
        return 0

    monkeypatch.setattr(asking, "_run", run)
    return go


def model(place: int) -> Subject:
    name = f"job_{place}"
    return Subject(
        id=name, title=name, job_id=name, spec_text="{}", parameters=b"tensors", parameters_path=""
    )


def test_what_waits_is_bounded_and_holds_no_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST_IN_THE_MAKING", 2)
    read: list[int] = []

    def reading(place: int) -> Callable[[], Subject]:
        return lambda: (read.append(place), model(place))[1]

    async def asked() -> None:
        go, shared = faked(monkeypatch), exporter(tmp_path)
        first = [asyncio.create_task(shared.get(ExportFormat.PT2, reading(place))) for place in (0, 1)]
        while sorted(read) not in ([0, 0, 1], [0, 1, 1]) or len(shared._making) < 2:  # noqa: ASYNC110 - threads
            await asyncio.sleep(0.01)
        with pytest.raises(ExportsBusy) as refused:
            await shared.get(ExportFormat.PT2, reading(2))
        assert refused.value.retry_after
        go.set()
        assert [found.data for _, found in await asyncio.gather(*first)] == [b"12345678"] * 2
        await shared.get(ExportFormat.PT2, reading(2))

    asyncio.run(asked())
    # Each was read for its digest, and once more when its turn had come.
    assert sorted(read) == [0, 0, 1, 1, 2, 2, 2]


def test_files_are_not_read_and_written_on_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    report = report_of(b"12345678").model_dump_json()
    for owner, name in (
        (Path, "read_bytes"),
        (Path, "write_bytes"),
        (shutil, "rmtree"),
        (hashlib, "sha256"),
    ):
        own = getattr(owner, name)

        def noted(*given: Any, own: Any = own, **options: Any) -> Any:  # noqa: ANN401 - as it is
            threads.add(threading.current_thread())
            return own(*given, **options)

        monkeypatch.setattr(owner, name, noted)

    async def run(order: ExportOrder, _: Path) -> int:
        with (order.folder / FILE).open("wb") as file:
            file.write(b"12345678")
        (order.folder / REPORT).write_text(report)
        return 0

    monkeypatch.setattr(asking, "_run", run)
    asyncio.run(exporter(tmp_path).get(ExportFormat.PT2, lambda: model(0)))
    assert threads
    assert threading.main_thread() not in threads


def test_an_export_that_cannot_be_kept_is_still_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished(path: Path, data: bytes) -> None:
        path.parent.rmdir()
        path.write_bytes(data)

    monkeypatch.setattr(store_module, "_place", vanished)

    async def asked() -> bytes:
        faked(monkeypatch).set()
        return (await exporter(tmp_path).get(ExportFormat.PT2, lambda: model(0)))[1].data

    assert asyncio.run(asked()) == b"12345678"


def test_a_file_that_vanishes_while_others_are_counted_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ExportStore(tmp_path, max_bytes=100)
    kept(store, "job_1")
    own = store_module._listed
    monkeypatch.setattr(store_module, "_listed", lambda folder: [*own(folder), folder / "onnx-gone"])
    kept(store, "job_2")
    assert store.read("job_2", "onnx-1") is not None
