"""No export says that it is right when it is not, and none that it is impossible when only memory was lacking."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.exceptions import ExportFailed, ExportNotAvailable
from service.exports import onnx_graph, programs
from service.exports.comparison import compare
from service.exports.programs import write_onnx, write_pt2
from service.exports.script.ending import Bound, compare_lines, fetch_lines
from service.exports.subject import Subject
from service.exports.whole import WholeModel
from service.inference.predictor import Predictor
from service.tables.frame import Array
from tests.exports.subjects import LINE, spec, subject_of

# Shortest first: a float32 holds nothing near 1e39.
INFINITE = {"a": np.array([1e39, 0.5, -0.5]), "b": np.array([0.0, 1.0, 2.0])}


@pytest.fixture(scope="module")
def subject() -> Subject:
    return subject_of(spec(LINE))


# The comparison of a script.


def code_of(difference: float, *, engine: str = "eager", place: int = 0) -> object:
    model = torch.nn.Linear(2, 1)
    fit = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    list(fit.values())[place].view(-1)[0] += difference
    names = {"model": model, "fit": fit, "torch": torch, "sys": __import__("sys")}
    with pytest.raises(SystemExit) as end:
        exec("\n".join(compare_lines(Bound(engine, "cpu", "float32"))), names)  # noqa: S102 - the script is ours
    return end.value.code


@pytest.mark.parametrize("engine", ["eager", "dense"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_parameter_that_is_no_number_is_not_the_same(engine: str, place: int) -> None:
    assert code_of(0.0, engine=engine) == 0
    assert code_of(float("nan"), engine=engine, place=place) == 1
    assert code_of(0.5, engine=engine, place=place) == 1


# The key of a script.


@pytest.fixture
def hosts() -> Iterator[tuple[str, list[str | None]]]:
    """A server that redirects to another one, and the keys that the other one was sent."""
    keys: list[str | None] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"rows")

        def log_message(self, *_: object) -> None:
            pass

    class First(Other):
        def do_GET(self) -> None:
            keys.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{servers[1].server_port}/")
            self.end_headers()

    servers = [HTTPServer(("127.0.0.1", 0), handler) for handler in (First, Other)]
    threads = [threading.Thread(target=one.serve_forever, args=(0.01,)) for one in servers]
    for thread in threads:
        thread.start()
    yield f"http://127.0.0.1:{servers[0].server_port}", keys
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_script_sends_its_key_to_no_other_host(
    hosts: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.request

    url, keys = hosts
    monkeypatch.setenv("FITD_API_KEY", "secret")
    names: dict[str, Any] = {"os": os, "urllib": urllib}
    exec("\n".join(fetch_lines(url)), names)  # noqa: S102 - the script is ours
    assert names["fetch"]("/") == b"rows"
    assert keys == ["Bearer secret", None]


# The comparison of a program.


def compared(subject: Subject, added: Sequence[float], arrays: Mapping[str, Array] = INFINITE) -> float:
    """Compare the service's own predictions, something added to them, with themselves."""
    model = WholeModel(subject.spec(), subject.parameters)
    predictor = Predictor(subject.spec(), subject.parameters)

    def run(some: Mapping[str, Array]) -> list[Array]:
        own = np.asarray(predictor.predict_arrays(some).columns["y"], dtype=np.float64)
        return [own + np.array(added[: len(own)])]

    return compare(run, model.outputs, predictor, arrays).largest


def test_an_infinite_prediction_does_not_hide_the_others(subject: Subject) -> None:
    own = Predictor(subject.spec(), subject.parameters).predict_arrays(INFINITE).columns["y"]
    assert not np.isfinite(own[0])
    assert compared(subject, [0.0, 0.0, 0.0]) == 0
    with pytest.raises(ExportFailed, match="differs from the service's own"):
        compared(subject, [0.0, 1.0, 0.0])


@pytest.mark.parametrize("added", [float("nan"), float("inf")])
def test_a_number_that_is_none_here_is_a_difference(subject: Subject, added: float) -> None:
    with pytest.raises(ExportFailed, match="by inf"):
        compared(subject, [0.0, added, 0.0])


# Memory.


def lacking() -> RuntimeError:
    """What torch itself raises for a tensor that no machine has room for."""
    with pytest.raises(RuntimeError, match="allocate") as found:
        torch.empty(2**55, dtype=torch.uint8)
    return found.value


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:  # noqa: ANN401 - it gives nothing
        raise error

    return fail


@pytest.mark.parametrize("kind", ["plain", "torch", "wrapped"])
def test_a_want_of_memory_is_not_taken_for_a_limit_of_the_format(
    kind: str, subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrapped = ValueError("could not be traced")
    wrapped.__cause__ = lacking()
    error = {"plain": MemoryError(), "torch": lacking(), "wrapped": wrapped}[kind]
    rows = {name: np.array(LINE[name]) for name in ("a", "b")}
    for place, name, write in (
        (onnx_graph, "graph_of", write_onnx),
        (torch.export, "export", write_pt2),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, raising(error))
            with pytest.raises(MemoryError):
                write(subject.spec(), subject.parameters, rows, tmp_path / "file")


def test_what_a_library_cannot_do_is_still_said(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.export, "export", raising(ValueError("no such operator")))
    rows = {name: np.array(LINE[name]) for name in ("a", "b")}
    with pytest.raises(ExportNotAvailable, match="no such operator"):
        programs.write_pt2(subject.spec(), subject.parameters, rows, tmp_path / "file")
