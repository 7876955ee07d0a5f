"""A job as a plain PyTorch script."""

from collections.abc import Sequence

from service import __version__
from service.exceptions import ExportFailed, ExportNotAvailable
from service.exports.script.data import columns_of, data_lines, is_fetched
from service.exports.script.ending import Bound, compare_lines, fetch_lines, fit_lines, is_large
from service.exports.script.inputs import input_lines, split_lines
from service.exports.script.model import model_text, skeleton
from service.exports.script.obstacles import obstacles
from service.exports.script.optimizer import is_by_rows, loss_lines, optimizer_lines, scheduler_lines
from service.exports.script.python import comment
from service.exports.script.training import Course, penalty_lines, training_lines
from service.exports.subject import Subject
from service.spec.job import JobSpec
from service.spec.models import LayeredModel
from service.tables.frame import Frame
from service.training.columns import columns_in_use
from service.training.splits import split, usable_rows
from service.training.weights import from_bytes, preparation_of

__all__ = ["script_of"]

MOST_NUMBERS = 2**25
"""Numbers of the columns that a script holds in memory: 256 MiB of them."""


def script_of(subject: Subject, frame: Frame, *, url: str) -> str:
    """Write a script that repeats the training of a model, and compares its parameters.

    Args:
        subject: The model.
        frame: The rows of its job.
        url: Where the service answers: the script fetches from there what is too large to be written out.

    Raises:
        ExportNotAvailable: Something in the job cannot be written as plain torch; the message names it.
        ExportFailed: What was written is no Python.
    """
    spec = subject.spec()
    found = obstacles(subject, spec)
    if found or not isinstance(spec.model, LayeredModel):
        raise ExportNotAvailable(
            f"This job cannot be written as a script. {'; '.join(found)}.",
            hint="The other formats carry the trained model; GET …/exports lists them.",
        )
    numbers = sum(frame.arrays[name].size for name in columns_of(spec))
    if numbers > MOST_NUMBERS:
        raise ExportNotAvailable(
            f"The columns of this job hold {numbers:,} numbers; a script, which has them all in memory, takes up to "
            f"{MOST_NUMBERS:,}."
        )
    return _compiled(_Script(subject, spec, spec.model, frame, url).text())


def _compiled(text: str) -> str:
    """Hand out no script that Python cannot even read."""
    try:
        compile(text, "script.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise ExportFailed(
            f"The script that was written is no Python: {error}. It is not handed out.",
            hint="This is a fault of the service: please report it with the job's spec.",
        ) from error
    return text


class _Script:
    """The sections of one script."""

    def __init__(self, subject: Subject, spec: JobSpec, model: LayeredModel, frame: Frame, url: str) -> None:
        self._subject, self._spec, self._model, self._frame, self._url = subject, spec, model, frame, url
        self._preparation = preparation_of(subject.parameters)
        self._network = skeleton(model, self._preparation)
        stored = from_bytes(subject.parameters)
        self._tensors = {name: stored[name] for name in self._network.state_dict()}
        usable = usable_rows(frame, spec.preprocessing, columns_in_use(spec, frame.schema))
        parts = split(spec.evaluation, frame, usable)
        self._usable = len(usable)
        self._dev_rows = len(parts.dev)
        self._by_rows = is_by_rows(spec, has_dev=bool(self._dev_rows))
        self._course = Course(spec, self._seed, len(parts.train), self._dev_rows, self._by_rows)
        self._bound = Bound(subject.engine, subject.device, spec.training.dtype)

    @property
    def _seed(self) -> int:
        """Of the training that was kept."""
        result, seed = self._subject.result or {}, self._spec.training.seed
        if seed is None:
            raise ValueError("an effective spec has a seed")
        runs, kept = result.get("runs"), result.get("kept_run")
        return int(runs[kept - 1]["seed"]) if runs and kept else seed

    def text(self) -> str:
        """Write all of it."""
        network = model_text(self._model, self._preparation, seed=self._seed)
        body = [
            *self._data(),
            *_section("The model", network.lines, network.classes),
            *_section("Loss and optimizer", self._means()),
            *_section("Training", training_lines(self._course)),
            *_section("The fit", self._ending()),
        ]
        lines = [*self._head(), "", *_imports("\n".join(body)), "", *self._start(), *body]
        return "\n".join(_spaced(lines)) + "\n"

    def _head(self) -> list[str]:
        name = self._spec.name
        title = f"The fit of {self._subject.title}" + (f" ({name!r})" if name else "") + " as plain PyTorch."
        lines = [f'"""{_safe(title)}', ""]
        lines += [line[2:] for line in comment(_PURPOSE)]
        lines += ["", *(line[2:] for line in comment(self._origin())), '"""']
        return lines

    def _origin(self) -> str:
        environment = self._subject.environment or {}
        known = ", ".join(
            f"{key} {value}" for key, value in environment.items() if isinstance(value, str | int)
        )
        trained = f" It was trained with: {known}." if known else ""
        return _safe(
            f"Written by fitd {__version__}.{trained} Another version of torch or another kind of processor may "
            "round otherwise in the last digit."
        )

    def _start(self) -> list[str]:
        threads = int((self._subject.environment or {}).get("threads") or 1)
        lines = [
            "# As the service trains: with another number of threads torch adds in another order.",
            f"torch.set_num_threads({threads})",
        ]
        fetched = {"data": is_fetched(self._spec, self._frame.schema), "fit": is_large(self._tensors)}
        if not any(fetched.values()):
            return lines
        lines += ["", "parser = argparse.ArgumentParser()"]
        helps = {"data": "a file with the rows", "fit": "the parameters as a safetensors file"}
        for option, is_needed in fetched.items():
            if is_needed:
                text = f"{helps[option]}; left out, the service is asked"
                lines.append(f'parser.add_argument("--{option}", help="{text}")')
        return [*lines, "arguments = parser.parse_args()", "", *fetch_lines(self._url)]

    def _data(self) -> list[str]:
        spec, schema = self._spec, self._frame.schema
        parts = split_lines(spec, schema, usable=self._usable)
        names = [] if not parts else ["train", "dev"] if self._dev_rows else ["train"]
        prepared = input_lines(spec, self._preparation, parts=names, train_rows=self._course.train_rows)
        lines = _section("The data", data_lines(spec, self._frame, job_id=self._subject.job_id))
        if parts:
            lines += _section("Which rows are for what", parts)
        return [*lines, *_section("What the network sees", prepared)]

    def _means(self) -> list[str]:
        lines = loss_lines(self._spec, by_rows=self._by_rows)
        defines = bool(lines[1:])
        lines += [
            "",
            *([""] if defines else []),
            *optimizer_lines(self._spec.optimizer, self._network),
            *scheduler_lines(self._spec.scheduler),
        ]
        penalty = penalty_lines(self._spec.regularization)
        return [*lines, *([""] if penalty else []), *penalty]

    def _ending(self) -> list[str]:
        fit = fit_lines(self._tensors, path=self._subject.parameters_path)
        return [*fit, "", *compare_lines(self._bound)]


_PURPOSE = (
    "It takes the same rows, starts from the same parameters, makes the same steps, and compares what comes out with "
    "the parameters of the service. It needs torch and numpy, and ends with the code 0 if they are equal."
)
_MODULES = {
    "argparse": "argparse.",
    "copy": "copy.",
    "csv": "csv.",
    "hashlib": "hashlib.",
    "io": "io.",
    "json": "json.",
    "os": "os.",
    "sys": "sys.",
    "urllib.request": "urllib.request.",
}


def _imports(body: str) -> list[str]:
    fetches = "fetch(" in body
    used = [name for name, mark in _MODULES.items() if mark in body or (fetches and name in _FOR_FETCHING)]
    lines = [f"import {name}" for name in sorted(used)]
    third = ["import numpy as np", "import torch", "from torch import nn"]
    if "lr_scheduler." in body:
        third.append("from torch.optim import lr_scheduler")
    return [*lines, "", *third]


_FOR_FETCHING = {"argparse", "os", "urllib.request"}


def _section(title: str, lines: Sequence[str], classes: Sequence[Sequence[str]] = ()) -> list[str]:
    head = ["", f"# --- {title} ---", ""]
    for one in classes:
        head += ["", *one, "", ""] if head[-1] == "" else ["", "", *one, "", ""]
    return [*head, *lines]


def _spaced(lines: Sequence[str]) -> list[str]:
    """Keep two empty lines at most, two around definitions, and none with blanks."""
    found: list[str] = []
    for line in (one.rstrip() for one in lines):
        if line or found[-2:] != ["", ""]:
            found.append(line)
    return found


def _safe(text: str) -> str:
    """Keep a text from ending the docstring that it stands in."""
    return text.replace("\\", "/").replace('"""', "'''")
