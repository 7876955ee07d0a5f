"""Jobs as runs of TensorBoard: event files, written record by record.

TensorBoard reads the files of a run in the order of their names, and a file that begins with a start mark makes void
what files before it have from that step on. So a file is only ever added to by the process that made it, and only
while nothing went wrong: whoever goes on after a kill begins another, and tells the last epoch again.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from service.trackers.flattening import Plain
from service.trackers.sink import Extras, JobTold, Place, Points, SinkAway, SweepTold, is_told

__all__ = ["TensorBoard"]

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_ENDS = {
    "succeeded": api_pb2.STATUS_SUCCESS,
    "failed": api_pb2.STATUS_FAILURE,
    "cancelled": api_pb2.STATUS_FAILURE,
}


class TensorBoard:
    """A folder of event files: one folder for each job, those of a sweep below its own."""

    name = "tensorboard"
    wants_extras = False
    takes_back = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        """The file of each run that this process adds to."""

    def begin(self, told: JobTold, *, sweep: str | None, fresh: bool) -> Place:  # noqa: ARG002 - both are alike here
        """Make the folder, and tell the parameters at step 0: TensorBoard's table of HPARAMS."""
        run = _named(told) if sweep is None else f"{sweep}/{_of_sweep(told)}"
        at = told.started_at.timestamp()
        with self._written(run, anew=0) as writer:
            writer.summary(0, at, _hparams(told), _text("about", _about(told)))
        return Place(run, 0)

    def resume(self, run: str, epoch: int) -> int:
        """Make void what is beyond the epoch before: with the last one the end may have been told."""
        last = max(0, epoch - 1)
        self.rewind(run, to=last)
        return last

    def rewind(self, run: str, *, to: int) -> None:
        """Make void what is beyond the epoch."""
        with self._written(run, anew=to + 1):
            """A file that only begins is all it takes."""

    def points(self, run: str, points: Points) -> None:
        """Tell epochs: step by step, each with all its series."""
        columns = {name: series.tolist() for name, series in points.columns.items()}
        rows = zip(points.epochs.tolist(), points.times.tolist(), *columns.values(), strict=True)
        with self._written(run) as writer:
            for step, at, *values in rows:
                recorded = zip(columns, values, strict=True)
                writer.scalars(step, at, {name: one for name, one in recorded if is_told(name, one)})

    def state(self, run: str, told: JobTold) -> None:
        """Tell nothing: TensorBoard has no states."""

    def end(self, run: str, told: JobTold, extras: Extras) -> None:  # noqa: ARG002 - files are for others
        """Tell the final figures at the last step, the state, and all facts as text."""
        at = (told.finished_at or told.started_at).timestamp()
        with self._written(run) as writer:
            writer.scalars(told.epoch, at, {f"final/{name}": value for name, value in told.figures.items()})
            writer.summary(told.epoch, at, _session_end(told, at), _text("outcome", _about(told)))
        del self._files[run]

    def begin_sweep(self, told: SweepTold, *, fresh: bool) -> str:  # noqa: ARG002 - both are alike here
        """Name the folder of the jobs."""
        return _named(told)

    def end_sweep(self, run: str, told: SweepTold) -> None:
        """Tell nothing: the sweep is its jobs."""

    def abandon(self, run: str) -> None:
        """Let the files be as they are."""
        self._files.pop(run, None)

    @contextlib.contextmanager
    def _written(self, run: str, *, anew: int | None = None) -> Iterator["_Writer"]:
        """Add records to a run, and keep them before anybody relies on them.

        Args:
            run: Its folder.
            anew: Begin another file, which makes void what others have from this step on.
        """
        known = self._files.pop(run) if anew is None else None
        try:
            path = known or _next_file(self._folder / run)
            with path.open("ab") as file:
                writer = _Writer(RecordWriter(file))
                if file.tell() == 0:
                    writer.start(0 if anew is None else anew)
                yield writer
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            message = f"{error.strerror or error}: {error.filename or self._folder}"
            raise SinkAway(message) from error
        self._files[run] = path


class _Writer:
    """Writes events."""

    def __init__(self, records: RecordWriter) -> None:
        self._records = records

    def start(self, step: int) -> None:
        """Begin a file: its version, and from which step on it counts."""
        self._write(event_pb2.Event(file_version="brain.Event:2"))
        log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(event_pb2.Event(step=step, session_log=log))

    def scalars(self, step: int, at: float, values: Mapping[str, float]) -> None:
        """Write numbers of one step."""
        self.summary(
            step, at, *(summary_pb2.Summary.Value(tag=tag, simple_value=v) for tag, v in values.items())
        )

    def summary(self, step: int, at: float, *values: Any) -> None:  # noqa: ANN401 - a message without types
        """Write values of one step."""
        if values:
            summary = summary_pb2.Summary(value=values)
            self._write(event_pb2.Event(step=step, wall_time=at, summary=summary))

    def _write(self, event: Any) -> None:  # noqa: ANN401 - a message without types
        self._records.write(event.SerializeToString())


def _next_file(folder: Path) -> Path:
    """Name a file that comes after all that are there, whatever the clocks of their hosts said."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.*.fitd")]
    return folder / f"events.out.tfevents.{max(numbers, default=0) + 1:010d}.fitd"


def _named(told: JobTold | SweepTold) -> str:
    name = _UNFIT.sub("-", told.name or "").strip("-.")[:80]
    return f"{name}-{told.id}" if name else told.id


def _of_sweep(told: JobTold) -> str:
    return f"{int(told.facts['trial']):04d}-{told.id}"


def _hparams(told: JobTold) -> Any:  # noqa: ANN401 - a message without types
    info = plugin_data_pb2.SessionStartInfo(group_name=told.id, start_time_secs=told.started_at.timestamp())
    for name, value in told.parameters.items():
        setattr(info.hparams[name], _FIELDS[type(value)], value)
    return _of_hparams(
        metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=info)
    )


_FIELDS: dict[type[Plain], str] = {
    bool: "bool_value",
    int: "number_value",
    float: "number_value",
    str: "string_value",
}


def _session_end(told: JobTold, at: float) -> Any:  # noqa: ANN401 - a message without types
    info = plugin_data_pb2.SessionEndInfo(status=_ENDS[told.status], end_time_secs=at)
    return _of_hparams(
        metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=info)
    )


def _of_hparams(tag: str, content: Any) -> Any:  # noqa: ANN401 - messages without types
    return summary_pb2.Summary.Value(
        tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR
    )


def _text(tag: str, text: str) -> Any:  # noqa: ANN401 - a message without types
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
    return summary_pb2.Summary.Value(
        tag=tag,
        metadata=summary_pb2.SummaryMetadata(plugin_data=plugin),
        tensor=tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=[text.encode()]
        ),
    )


def _about(told: JobTold) -> str:
    """Write facts and metadata as a table of Markdown."""
    rows = {**({"name": told.name} if told.name else {}), **told.facts, **told.metadata}
    lines = (f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
