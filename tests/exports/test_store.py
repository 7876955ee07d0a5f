"""Exports are kept whole or not at all, within bounds, and made once however many ask."""

import asyncio
from pathlib import Path

import pytest

from service.exceptions import ExportFailed
from service.exports.asking import Budget, Exporter
from service.exports.formats import ExportFormat
from service.exports.report import Report
from service.exports.store import ExportStore
from tests.exports.subjects import LINE, spec, subject_of


def report_of(data: bytes) -> Report:
    import hashlib

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
        first, second = await asyncio.gather(*(shared.get(ExportFormat.PT2, subject) for _ in range(2)))
        assert first is second
        again = await exporter(tmp_path, seconds=0.01).get(ExportFormat.PT2, subject)
        assert again == first

    asyncio.run(asked())
    assert [one.name for one in (tmp_path / ".making").iterdir()] == []


def test_an_export_that_needs_too_much_memory_ends_only_itself(tmp_path: Path) -> None:
    subject = subject_of(spec(LINE))
    with pytest.raises(ExportFailed, match="bytes of memory"):
        asyncio.run(exporter(tmp_path, memory=2**20).get(ExportFormat.PT2, subject))
