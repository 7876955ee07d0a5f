"""The engines against the loops of `benchmarks.loops`: the same rows in the same order, the same rule, the same seed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from benchmarks.jobs import Job, jobs
from benchmarks.loops import loop
from benchmarks.page import duration, table, times
from benchmarks.timing import Clock, interleaved, medians, timed
from service.spec.plan import Plan
from service.training import engines as kinds
from service.training import stack
from service.training.case import Case
from service.training.trainer import Fit, Trainer
from service.training.training import Engine, Training

__all__ = ["Difference", "Measured", "difference", "measure", "report"]

TURN_SECONDS = 1.5
State = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference between two sets of tensors, and the largest as a share of its tensor's largest number."""

    absolute: float
    relative: float

    def __str__(self) -> str:
        return "0" if self.absolute == 0 else f"{self.absolute:.0e} ({self.relative:.0e})"


@dataclass
class Measured:
    """What is known of one job.

    Attributes:
        job: Which.
        rounds: How often each time was taken.
        seconds: Medians: of `loop`, of `eager` and `auto` as a whole, and of `eager training` and `auto training`.
        engine: What `auto` took, and why.
        differences: Of the parameters to the loop's, by engine and number format.
    """

    job: Job
    rounds: int
    seconds: dict[str, float]
    engine: Engine
    differences: dict[str, Difference] = field(default_factory=dict)

    def speedup(self, name: str) -> float | None:
        """Give how many times faster than the loop one of `seconds` is."""
        return self.seconds["loop"] / self.seconds[name] if name in self.seconds else None


def measure(
    *, rounds: int, quick: bool = False, only: Sequence[str] = (), device: str = "cpu"
) -> Iterator[Measured]:
    """Measure all jobs, or those of these names; those whose loop takes long in a third of the rounds."""
    for job in jobs(quick=quick):
        if not only or job.name in only:
            turn_seconds = 0.0 if quick else TURN_SECONDS
            yield _measured(job, max(1, rounds // 3) if job.is_long else rounds, device, turn_seconds)


def _measured(job: Job, rounds: int, device: str, turn_seconds: float) -> Measured:
    # In float64 first: whatever is loaded at its first use is loaded then.
    differences = _differences_in_float64(job, device)
    turn = _Turn(job, device)
    calls = {"loop": turn.loop} | {name: getattr(turn, name) for name in _engines(job)}
    seconds = medians(interleaved(calls, rounds, at_least=turn_seconds))
    for name in _engines(job):
        differences[f"{name} float32"] = difference(turn.states[name], turn.states["loop"])
    return Measured(job, rounds, seconds, turn.engine, differences)


def _engines(job: Job) -> tuple[str, ...]:
    """A stack is one only for `auto`; eager trainings one after the other are as many times the single one."""
    return ("eager", "auto") if job.members == 1 else ("auto",)


class _Turn:
    """One job's rounds: each method trains once, and keeps the parameters of each member."""

    def __init__(self, job: Job, device: str) -> None:
        self.members, self.device = job.each(), device
        self.rows = job.tensors(torch.float32)
        self.states: dict[str, list[State]] = {}
        self.engine = Engine("eager", "")

    def loop(self) -> dict[str, float]:
        """Train with loops, one after the other."""
        seconds, models = timed(
            lambda: [loop(member, *self.rows, device=self.device) for member in self.members]
        )
        self.states["loop"] = [model.state_dict() for model in models]
        return {"loop": seconds}

    def eager(self) -> dict[str, float]:
        """Train with the reference."""
        return self._fitted("eager")

    def auto(self) -> dict[str, float]:
        """Train with what fitd chooses."""
        return self._fitted("auto")

    def _fitted(self, engine: str) -> dict[str, float]:
        plans = [member.plan(engine=engine) for member in self.members]
        with _training(together=len(plans) > 1) as training:
            seconds, found = timed(lambda: _trained(self.members, plans, self.device))
        self.states[engine] = [fit.state_dict for fit in found]
        if engine == "auto" and found[0].engine is not None:
            self.engine = found[0].engine
        return {engine: seconds} | ({f"{engine} training": training.seconds} if training.seconds else {})


@contextmanager
def _training(*, together: bool) -> Iterator[Clock]:
    """Time a part of a fit that gives no access to it: what an engine does, from its building to its last step."""
    clock, begin, train_alike = Clock(), kinds.begin, stack.train_alike

    def begun(case: Case, engine: str) -> Training:
        with clock.running():
            training = begin(case, engine)
        if not together:
            training.run = clock.of(training.run)  # Of this one object only.
        return training

    kinds.begin = begun
    stack.train_alike = clock.of(train_alike) if together else train_alike
    try:
        yield clock
    finally:
        kinds.begin, stack.train_alike = begin, train_alike


def _trained(members: Sequence[Job], plans: Sequence[Plan], device: str) -> list[Fit]:
    pairs = zip(members, plans, strict=True)
    trainers = [Trainer(plan, member.frame, device=device) for member, plan in pairs]
    if len(trainers) == 1:
        return [trainers[0].fit()]
    found = []
    for one in stack.fit_together(trainers):
        if isinstance(one, Exception):
            raise one
        found.append(one)
    return found


def _differences_in_float64(job: Job, device: str) -> dict[str, Difference]:
    members = job.checked.each()
    x, y = job.checked.tensors(torch.float64)
    loops = [loop(member, x, y, device=device).state_dict() for member in members]
    found = {}
    for engine in _engines(job):
        plans = [member.plan(engine=engine, dtype="float64") for member in members]
        states = [fit.state_dict for fit in _trained(members, plans, device)]
        found[f"{engine} float64"] = difference(states, loops)
    return found


def difference(found: Sequence[State], wanted: Sequence[State]) -> Difference:
    """Compare tensors of the same names, member by member."""
    pairs = [
        (one[name].double().cpu(), tensor.double().cpu())
        for one, other in zip(found, wanted, strict=True)
        for name, tensor in other.items()
    ]
    gaps = [(float((a - b).abs().max()), float(b.abs().max())) for a, b in pairs]
    return Difference(max(gap for gap, _ in gaps), max(gap / (size or 1.0) for gap, size in gaps))


def report(measured: Sequence[Measured]) -> str:
    """Write the tables."""
    return f"{_times(measured)}\n{_equality(measured)}\n{_reasons(measured)}"


def _times(measured: Sequence[Measured]) -> str:
    names = {"eager training": "eager: training", "eager": "eager: whole"}
    names |= {"auto training": "auto: training", "auto": "auto: whole"}
    lines = []
    for one in measured:
        what, loop_time = f"{one.job.name}: {one.job.what}", duration(one.seconds["loop"])
        lines.append(
            [what, str(one.rounds), loop_time, *(_cell(one, name) for name in names), one.engine.name]
        )
    return table(("job", "rounds", "loop", *names.values(), "auto took"), lines)


def _cell(one: Measured, name: str) -> str:
    return f"{duration(one.seconds[name])}, {times(one.speedup(name))}" if name in one.seconds else "-"


def _equality(measured: Sequence[Measured]) -> str:
    names = ("eager float64", "auto float64", "eager float32", "auto float32")
    rows = ([one.job.name, *(str(one.differences.get(name, "-")) for name in names)] for one in measured)
    return table(("job", *names), rows)


def _reasons(measured: Sequence[Measured]) -> str:
    return "".join(f"- {one.job.name}: `{one.engine.name}`. {one.engine.reason}\n" for one in measured)
