"""Following a job to its end: a curve on a terminal, lines everywhere else."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fitd_client import answers
from fitd_client.cli.curve import Curve, drawn
from fitd_client.cli.plain import plain
from fitd_client.cli.screen import figure
from fitd_client.cli.series import Losses
from fitd_client.cli.shown import duration
from fitd_client.errors import WaitTimeout
from fitd_client.jobs import Job

__all__ = ["Curves", "Lines", "View", "events_of", "follow"]

_LOOK_SECONDS = 0.25
_LINE_SECONDS = 1.0
_REDRAW_SECONDS = 0.1
_REST = 3.0
"""Drawing takes at most a quarter of the time, however slow the terminal is."""
_HEIGHT = 14
_OTHER_LINES = 5
_BAR, _BESIDE_BAR = 24, 30
_PACE_EVENTS = 20


class View(Protocol):
    """Somewhere to show a job."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def take(self, event: answers.Event) -> None:
        """Show an event."""

    def tick(self) -> None:
        """Show that time passes."""


def events_of(job: Job, *, timeout: float | None = None) -> Iterator[answers.Event | None]:
    """Give the events of a job from its beginning, and None whenever a moment passes without one.

    They are read in a thread, so that a clock can go on, and Ctrl-C is heard, while the service is silent.

    Args:
        job: Which.
        timeout: Seconds after which to give up.

    Raises:
        WaitTimeout: The time is over.
        FitdError: What the client could not mend.
    """
    heard: queue.SimpleQueue[answers.Event | BaseException | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(job, heard.put), daemon=True).start()
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        if until is not None and time.monotonic() >= until:
            raise WaitTimeout(f"{job.id} has not ended: the time for waiting is over. The job goes on.")
        try:
            found = heard.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            yield None
            continue
        if found is None:
            return
        if isinstance(found, BaseException):
            raise found
        yield found


def _read(job: Job, put: Callable[[answers.Event | BaseException | None], None]) -> None:
    try:
        for event in job.stream():
            put(event)
        put(None)
    except BaseException as error:  # noqa: BLE001 - whoever waits at the other end raises it
        put(error)


def follow(job: Job, view: View, *, timeout: float | None = None) -> None:
    """Show a job until its end, and bring its handle up to date.

    Args:
        job: Which.
        view: Where to show it.
        timeout: Seconds after which to give up; the job goes on.

    Raises:
        WaitTimeout: The time is over.
    """
    with view:
        for event in events_of(job, timeout=timeout):
            if event is None:
                view.tick()
            else:
                view.take(event)
    job.refresh()


class Lines:
    """A line for each change of state, and one every second for the newest epoch."""

    def __init__(self, job: Job, write: Callable[[str], None]) -> None:
        """Start.

        Args:
            job: Which.
            write: Takes each line.
        """
        self._job, self._write = job, write
        self._losses = Losses()
        self._written = 0
        self._at = -_LINE_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, event: answers.Event) -> None:
        """Write a line where there is something new."""
        match event:
            case answers.StatusEvent():
                self._write_epoch()
                self._write(f"{self._job.id} {_status(event)}")
            case answers.HistoryEvent():
                self._losses.add(event.columns)
                self.tick()
            case answers.LogEvent():
                self._write(f"{event.level}: {event.message}")

    def tick(self) -> None:
        """Write the newest epoch, where a second has passed since the last one."""
        if time.monotonic() - self._at >= _LINE_SECONDS:
            self._write_epoch()

    def _write_epoch(self) -> None:
        losses = self._losses
        if losses.epoch == self._written:
            return
        self._written, self._at = losses.epoch, time.monotonic()
        shown = [f"{name}_loss {figure(value)}" for name, value in losses.newest.items() if value is not None]
        self._write(" ".join([f"epoch {losses.epoch}/{self._job.progress.epochs}", *shown]))


def _status(event: answers.StatusEvent) -> str:
    told = f"{event.status} ({event.stop_reason})" if event.stop_reason else event.status
    return f"{told}: {event.error.message}" if event.error else told


class Curves:
    """The curve of the losses, drawn anew as they come."""

    def __init__(self, job: Job, console: Console) -> None:
        """Start.

        Args:
            job: Which.
            console: Of a terminal.
        """
        self._job, self._console = job, console
        self._losses = Losses()
        self._status = job.status
        self._ended = job.terminal
        self._messages: deque[str] = deque(maxlen=2)
        self._pace: deque[tuple[float, int]] = deque(maxlen=_PACE_EVENTS)
        self._heard = time.monotonic()
        self._unicode = console.encoding.startswith("utf")
        self._drawn = self._cost = 0.0
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._picture)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.refresh()
        self._live.stop()

    def take(self, event: answers.Event) -> None:
        """Draw what is new."""
        match event:
            case answers.StatusEvent():
                self._status, self._ended = _status(event), event.terminal
                self._pace.clear()
            case answers.HistoryEvent():
                self._losses.add(event.columns)
                self._heard = time.monotonic()
                self._pace.append((event.at.timestamp(), self._losses.epoch))
            case answers.LogEvent():
                self._messages.append(event.message)
        self.tick()

    def tick(self) -> None:
        """Draw anew, unless that was just done: whoever comes late hears hundreds of events at once."""
        now = time.monotonic()
        if now - self._drawn < max(_REDRAW_SECONDS, _REST * self._cost):
            return
        self._live.refresh()
        self._drawn = time.monotonic()
        self._cost = self._drawn - now

    def _picture(self) -> Group:
        width = self._console.width
        title = Text.assemble((plain(self._job.id), "bold"), " ")
        title.append(plain(self._status), style="bold" if self._ended else "").append(
            f"  {plain(self._job.name)}"
        )
        lines = [title, *self._curve(width), self._bar(width), self._legend()]
        lines += [Text(plain(message), style="yellow") for message in self._messages]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis" if self._unicode else "crop"
        return Group(*lines)

    def _curve(self, width: int) -> list[Text]:
        height = min(_HEIGHT, self._console.height - _OTHER_LINES)
        if height < 3:  # noqa: PLR2004 - two lines of dots and one of epochs
            return []
        curves = [
            Curve(self._losses.points("train"), "cyan"),
            Curve(self._losses.points("dev"), "magenta", mark="o", dotted=True),
        ]
        # The picture is full from the beginning; how much is still to come the bar tells.
        return drawn(
            curves, width=width, height=height, last=max(self._losses.epoch, 2), unicode=self._unicode
        )

    def _bar(self, width: int) -> Text:
        epochs = self._job.progress.epochs
        share = min(self._losses.epoch / epochs, 1.0) if epochs else 0.0
        size = min(_BAR, max(width - _BESIDE_BAR, 4))
        full, empty = ("━", "╌") if self._unicode else ("=", ".")
        done = round(size * share)
        text = Text.assemble((full * done, "green"), (empty * (size - done), "dim"), f" {share:4.0%}")
        left = self._seconds_left(epochs)
        text.append(f"  {self._losses.epoch}/{epochs}")
        return text if left is None else text.append(f"  ETA {duration(left)}")

    def _seconds_left(self, epochs: int) -> float | None:
        """Give the time that the rest will take at the pace of the last events."""
        if self._ended or len(self._pace) < 2:  # noqa: PLR2004 - two moments make a pace
            return None
        (first_at, first), (last_at, last) = self._pace[0], self._pace[-1]
        if last <= first:
            return None
        left = (epochs - last) * (last_at - first_at) / (last - first)
        return max(left - (time.monotonic() - self._heard), 0.0)

    def _legend(self) -> Text:
        text = Text()
        marks = {
            "train": ("⣀" if self._unicode else "*", "cyan"),
            "dev": ("⠂" if self._unicode else "o", "magenta"),
        }
        for name, value in self._losses.newest.items():
            if value is not None:
                text.append(f"{marks[name][0]} ", style=marks[name][1]).append(f"{name} {figure(value)}  ")
        return text
