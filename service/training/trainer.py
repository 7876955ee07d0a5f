"""All trainings of one job: one of them, or restarts from several seeds, or the folds of a cross-validation."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from service.exceptions import TrainingFailed
from service.spec.estimates import is_streamed, largest_batch
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.tables.frame import Frame
from service.training import engines, randomness
from service.training.callbacks import Callback, Phase, Pulses, Stop
from service.training.case import Case, Further
from service.training.checkpoint import Checkpoint, must_fit
from service.training.columns import columns_in_use
from service.training.embedding import network_of
from service.training.feasible import require_targets, require_weights
from service.training.initial import start_from
from service.training.judge import Judge, Score
from service.training.objective import Objective
from service.training.preparation import Preparation, fitted
from service.training.reader import Reader
from service.training.rows import DTYPES, Rows, Table, require_finite
from service.training.splits import Parts, folded, split, usable_rows
from service.training.stability import largest_stable_lr
from service.training.streaming import StoredRows
from service.training.training import Engine, Trained, Training

__all__ = ["Fit", "Run", "Trainer", "diverged", "lower_lr_hint"]


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a job.

    Attributes:
        kind: `training`, `restart`, `fold`, or `final` after the folds.
        seed: Of its initial parameters and its row order.
        first_epoch: Number of its first epoch in the job's history.
        trained: How it ended.
        score: Its losses and metrics on all parts.
    """

    kind: str
    seed: int
    first_epoch: int
    trained: Trained
    score: Score


@dataclass(frozen=True, slots=True)
class Fit:
    """What a job's trainings leave.

    Attributes:
        state_dict: Trained tensors of the kept training by torch's names, on the CPU.
        preparation: How raw columns become the network's inputs.
        score: Losses and metrics of these very parameters.
        trained: How the kept training ended.
        stop_reason: That of the kept training; or what a callback gave to end the job before its time: `stopped`,
            unless it said otherwise.
        epochs: Completed epochs of all trainings.
        runs: All trainings, in their order; one where nothing is repeated.
        kept: Which of them is kept.
        parts: Its rows for training, dev and test.
        split_digest: Names the split.
        classes_seen: How many classes the training rows have; None where the target has no classes.
        engine: What made the steps of the last training.
        largest_stable_lr: The bound above which gradient descent diverges here, where it is known;
            only of a training that diverged or grew.
    """

    state_dict: dict[str, torch.Tensor]
    preparation: Preparation
    score: Score
    trained: Trained
    stop_reason: str
    epochs: int
    runs: tuple[Run, ...]
    kept: int
    parts: Parts
    split_digest: str
    engine: Engine | None
    classes_seen: int | None = None
    largest_stable_lr: float | None = None

    @property
    def train_loss(self) -> float | None:
        """Loss of the final parameters over all training rows; None if it is not finite."""
        return self.score.losses["train"]

    @property
    def first_loss(self) -> float | None:
        """Loss of the kept training's first epoch; None if it was not finite."""
        return self.trained.first_loss

    @property
    def loss_grew(self) -> bool:
        """Whether the fit is worse than the parameters it started from."""
        return (
            self.train_loss is not None and self.first_loss is not None and self.train_loss > self.first_loss
        )


@dataclass(slots=True)
class _Setting:
    """The rows of one training, prepared."""

    parts: Parts
    preparation: Preparation
    rows: dict[str, Rows] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """The training that is kept as things stand, by its number among all, and its tensors."""

    number: int
    tensors: dict[str, torch.Tensor]


A_LITTLE = 0.05
"""What a phase that reads only some of the rows, or none, counts for among the passes over all of them."""


class Trainer:
    """Trains one job: `Trainer(plan, frame, callbacks=[…]).fit()`.

    The plan must be that of an effective spec (`service.spec.intake`), and the frame hold its rows.
    """

    def __init__(
        self,
        plan: Plan,
        frame: Frame,
        *,
        callbacks: Sequence[Callback] = (),
        device: str = "cpu",
        initial: Mapping[str, torch.Tensor] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Split and prepare the rows.

        Args:
            plan: Shapes and sizes of the effective spec.
            frame: The rows.
            callbacks: Hear of the training in this order.
            device: The torch device to train on.
            initial: Tensors of an earlier job to start from, where the spec asks for them.
            checkpoint: Where to go on from, with the same plan, frame, device and `initial`; from the start without.

        Raises:
            TrainingFailed: The data cannot be trained on.
            CheckpointUnusable: The checkpoint is not one of this job.
        """
        self.plan, self.spec = plan, plan.spec
        self._frame, self._device, self._initial = frame, torch.device(device), initial
        used = columns_in_use(self.spec, frame.schema)
        usable = usable_rows(frame, self.spec.preprocessing, used)
        parts = split(self.spec.evaluation, frame, usable)
        folds = self.spec.evaluation.folds
        self._parts = [parts] if folds is None else folded(folds, frame, parts)
        self._settings: dict[int, _Setting] = {}
        dtype = DTYPES[self.spec.training.dtype]
        self._objective = Objective(self.spec.loss, device=self._device, dtype=dtype)
        self._judge = Judge(plan, self._objective, block=self._block)
        self._pulses = Pulses(callbacks, self._series(), state=self._state_dict)
        self._reader = Reader(frame, self._pulses.heard)
        self._runs: list[Run] = []
        self._kept: _Candidate | None = None
        self._training: Training | None = None
        self._preparation: Preparation | None = None
        self._stop: str | None = None
        self._resumed: Mapping[str, Any] | None = None
        self.engine: Engine | None = None
        if checkpoint is not None:
            self._go_on_from(checkpoint)

    def fit(self) -> Fit:
        """Run all trainings, or those that a checkpoint leaves, or fewer if a callback stops them; once.

        Returns:
            The parameters of the best one, also after divergence: then the last ones whose loss was finite.

        Raises:
            TrainingFailed: The data cannot be trained on.
            CheckpointUnusable: The checkpoint is not one of this job; before any step.
            Stop: A callback stopped it before anything was trained.
        """
        for training in self.trainings():
            training.run()
        return self.result()

    def trainings(self) -> Iterator[Training]:
        """Give one training after the other, each to be run before the next is asked for; once.

        Raises:
            TrainingFailed, CheckpointUnusable, Stop: As `fit`.
        """
        self._pulses.start()
        while len(self._runs) < self.plan.runs and self._stop is None:
            number = len(self._runs)
            self._enter("preparing", number)
            try:
                setting = self._setting(number)
                self._preparation = setting.preparation
                self._training = training = self._begun(number, setting)
            except Stop as stop:
                if not self._runs:
                    raise
                self._stop = stop.reason
                break
            self._enter("training", number)
            yield training
            self._training, self._stop = None, training.stop
            self._judged(number, setting, training)
        self._pulses.end()

    def _state_dict(self) -> dict[str, Any]:
        """Give all that the rest of the job depends on, between two steps of a training."""
        if self._training is None:
            raise ValueError("nothing is being trained")
        kept = self._kept
        return {
            "trainings": self.plan.runs,
            "runs": [dataclasses.asdict(run) for run in self._runs],
            "kept": None if kept is None else {"number": kept.number, "tensors": kept.tensors},
            "training": self._training.state_dict(),
            # The training itself fits it again; whoever predicts from here has no rows.
            "preparation": None if self._preparation is None else self._preparation.model_dump_json(),
            "engine": self.engine.name if self.engine else None,
            "randomness": randomness.state_dict(self._device),
        }

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        """Take up what is known before the network is there."""
        with must_fit():
            state = checkpoint.state
            if state["trainings"] != self.plan.runs:
                raise ValueError(f"it is one of {state['trainings']} trainings")
            self._runs = [_run_from(values) for values in state["runs"]]
            self._kept = None if state["kept"] is None else _Candidate(**state["kept"])
            self._pulses.epoch = checkpoint.epoch
            self._resumed = state

    def _judged(self, number: int, setting: _Setting, training: Training) -> None:
        """Judge the outcome of a training, and keep it if it is the best so far."""
        if training.trained is None:
            raise ValueError("the training was not run")
        trained = training.trained
        self._enter("scoring", number)
        score = self._score(training, setting)
        if score.losses["train"] is None and trained.reason not in {"diverged", "stopped"} and score.is_whole:
            # The last step itself went too far, and no later epoch was there to notice it.
            trained = training.back_to_finite()
            score = self._score(training, setting)
        first_epoch = self._pulses.epoch - trained.epochs + 1
        self._runs.append(Run(self._kind(number), self._seed(number), first_epoch, trained, score))
        self._keep(number, training.network)

    def _enter(self, phase: Phase, number: int) -> None:
        """Tell which part of the job comes next, and what share it has: by how often it reads the rows, if they are read."""
        passes = self._passes()
        before = sum(passes[one] for one in itertools.takewhile(lambda one: one != phase, passes))
        total = self.plan.runs * sum(passes.values())
        begun = number / self.plan.runs + before / total
        self._pulses.enter(phase, begun=begun, share=passes[phase] / total)
        if phase != "training" or self._reads_once:  # Else its steps tell how far they are.
            self._pulses.expect(round(passes[phase] * self.plan.schema.rows))

    def _passes(self) -> dict[Phase, float]:
        """How often all rows are read in each phase of a training; rows in memory cost nothing beside the epochs."""
        if not is_streamed(self.plan):
            return {"preparing": 0.0, "training": 1.0, "scoring": 0.0}
        preprocessing = self.spec.preprocessing
        is_scaled = {preprocessing.scaling, preprocessing.target_scaling} != {"none"}
        fitting = 1.0 if is_scaled else A_LITTLE
        epochs = 1.0 if self._reads_once else float(self.spec.training.epochs)
        return {"preparing": fitting, "training": epochs, "scoring": 1.0}

    @property
    def _reads_once(self) -> bool:
        return self.engine is not None and engines.reads_once(self.engine)

    def _score(self, training: Training, setting: _Setting) -> Score:
        """Judge a network; a callback may end that too, and then its losses stay unknown."""
        try:
            score = self._judge.score(training.network, setting.rows, setting.preparation)
        except Stop as stop:
            self._stop = stop.reason
            return Score.unknown()
        if self._passes()["scoring"]:
            self._pulses.leave()
        return score

    def _begun(self, number: int, setting: _Setting) -> Training:
        """Build all that a training needs, as it was at the checkpoint if there is one."""
        seed = self._seed(number)
        randomness.start(seed)
        network = self._network(setting.preparation)
        require_weights(setting.rows["train"], block=self._block)
        for part, rows in setting.rows.items():
            positions = getattr(setting.parts, part)
            require_targets(self._objective, network, rows, block=self._block, positions=positions)
        case = Case(
            self.plan,
            network=network,
            rows=setting.rows["train"],
            dev=setting.rows.get("dev"),
            seed=seed,
            objective=self._objective,
            pulses=self._pulses,
            further=self._further(network, setting, number),
        )
        resumed, self._resumed = self._resumed, None
        chosen = engines.choose(case)
        if resumed is None:
            self._takes(chosen)
            return engines.begin(case, chosen.name)
        with must_fit():
            # What has made the first steps makes the last ones, whichever engine would be chosen today.
            name = resumed.get("engine", "eager")
            self._takes(chosen if name == chosen.name else Engine(name, "An earlier attempt began with it."))
            training = engines.begin(case, name)
            training.load_state_dict(resumed["training"])
            # At last: the network above has drawn its initial parameters once more.
            randomness.load_state_dict(resumed["randomness"], self._device)
        return training

    def _takes(self, engine: Engine) -> None:
        self.engine = self._pulses.engine = engine

    def _keep(self, number: int, network: torch.nn.Module) -> None:
        """Keep the tensors of a training if none before it was better: those of one at a time, however many there are."""
        if self._kept is None or self._is_better(number, self._kept.number):
            tensors = {n: t.detach().cpu().contiguous().clone() for n, t in network.state_dict().items()}
            self._kept = _Candidate(number, tensors)

    def _network(self, preparation: Preparation) -> torch.nn.Module:
        network = network_of(self.spec.model, preparation)
        if self._initial is not None and self.spec.model.start is not None:
            start_from(network, self._initial, self.spec.model.start)
        return network.to(self._device)

    def _setting(self, number: int) -> _Setting:
        """Prepare the rows of a training; restarts all have the same."""
        place = min(number, len(self._parts) - 1)
        if place not in self._settings:
            parts = self._parts[place]
            preparation = fitted(self.plan, self._frame, parts.train, heard=self._pulses.heard)
            setting = _Setting(parts, preparation)
            for name in ("train", "dev", "test"):
                positions = getattr(parts, name)
                if len(positions):
                    setting.rows[name] = self._prepared(setting.preparation, positions)
            self._settings = {place: setting}
        return self._settings[place]

    def _prepared(self, preparation: Preparation, positions: Any) -> Rows:  # noqa: ANN401 - an index array
        if is_streamed(self.plan):
            return StoredRows(self._reader, preparation, positions, self._block, self._device)
        batch = preparation.batch(self._frame, positions)
        require_finite(batch)
        return Table(*batch).to(self._device)

    @property
    def _block(self) -> int:
        """Rows that are alive at once outside the steps of the training."""
        return largest_batch(self.plan) if is_streamed(self.plan) else max(1, self.plan.batch_rows)

    def _series(self) -> list[str]:
        names = ["train_loss", "learning_rate"]
        names += ["dev_loss"] if any(len(parts.dev) for parts in self._parts) else []
        names += ["run"] if self.plan.runs > 1 else []
        every = self.spec.evaluation.every
        return names + ([f"dev_{name}" for name in self._judge.scalars] if every else [])

    def _further(self, network: torch.nn.Module, setting: _Setting, number: int) -> Further | None:
        """Give what the history tells of an epoch beside losses and learning rate."""
        every = self.spec.evaluation.every
        if self.plan.runs == 1 and every is None:
            return None

        def further(epoch: int) -> dict[str, float]:
            values = {"run": float(number + 1)}
            if every is not None and epoch % every == 0 and "dev" in setting.rows:
                metrics = self._judge.metrics(network, setting.rows["dev"], setting.preparation)
                values |= {
                    f"dev_{name}": metrics[name] for name in self._judge.scalars if metrics[name] is not None
                }
            return values

        return further

    def _seed(self, number: int) -> int:
        seed = self.spec.training.seed
        if seed is None:
            raise ValueError("an effective spec has a seed: send it through service.spec.intake first")
        return (seed + number) % 2**63 if self.spec.evaluation.folds is None else seed

    def _kind(self, number: int) -> str:
        if self.spec.evaluation.folds is not None:
            return "final" if number == self.plan.runs - 1 else "fold"
        return "restart" if self.plan.runs > 1 else "training"

    def result(self) -> Fit:
        """Give what the trainings leave, once all are run."""
        if self._kept is None:
            raise ValueError("nothing was trained")
        run, setting = self._runs[self._kept.number], self._setting(self._kept.number)
        fit = Fit(
            state_dict=self._kept.tensors,
            preparation=setting.preparation,
            score=run.score,
            trained=run.trained,
            stop_reason=self._stop_reason(run),
            epochs=self._pulses.epoch,
            runs=tuple(self._runs),
            kept=self._kept.number,
            parts=setting.parts,
            split_digest=setting.parts.digest(len(self._frame)),
            engine=self.engine,
            classes_seen=self._classes_seen(setting),
        )
        if fit.stop_reason == "diverged" or fit.loss_grew:
            # The bound costs more than a short training, so it is worked out only where it will be told.
            rows, inputs = setting.rows["train"], fit.preparation.inputs
            bound = None if any(one.is_embedded for one in inputs) else largest_stable_lr(self.spec, rows)
            fit = dataclasses.replace(fit, largest_stable_lr=bound)
        return fit

    def _classes_seen(self, setting: _Setting) -> int | None:
        code = setting.preparation.target
        if not code.classes:
            return None
        return len(np.unique(self._frame.arrays[code.names[0]][setting.parts.train]))

    def _stop_reason(self, kept: Run) -> str:
        if self._stop in {None, "stopped"}:
            return self._stop or kept.trained.reason
        # A limit leaves what was learnt before it: nothing, where all diverged, and all, where the end came with it.
        is_over = len(self._runs) == self.plan.runs and self._runs[-1].trained.reason != self._stop
        return kept.trained.reason if is_over or kept.trained.reason == "diverged" else str(self._stop)

    def _is_better(self, number: int, than: int) -> bool:
        """Compare by dev loss, or train loss where there is none; where there are folds, the final training is to be kept."""
        if self.spec.evaluation.folds is not None:
            return True
        return _order(self._runs[number]) < _order(self._runs[than])


def _order(run: Run) -> tuple[bool, float]:
    losses = run.score.losses
    loss = losses["dev"] if losses["dev"] is not None else losses["train"]
    return run.trained.reason == "diverged", np.inf if loss is None else loss


def _run_from(values: Mapping[str, Any]) -> Run:
    """Give the run of which `dataclasses.asdict` gave the values."""
    return Run(**{**values, "trained": Trained(**values["trained"]), "score": Score(**values["score"])})


def diverged(fit: Fit, spec: JobSpec) -> TrainingFailed:
    """Describe a divergence, with the cure."""
    epoch = fit.trained.epochs + 1
    message = f"The loss stopped being a finite number in epoch {epoch} (lr = {spec.optimizer.lr:g})."
    return TrainingFailed("diverged", message, lower_lr_hint(fit, spec))


def lower_lr_hint(fit: Fit, spec: JobSpec) -> str:
    """Say which learning rate to take instead of one that is too high."""
    bound = fit.largest_stable_lr
    if bound is None or spec.optimizer.lr <= bound:
        scaled = spec.preprocessing.scaling != "none"
        other = "" if scaled else ', or scale the features ("preprocessing": {"scaling": "standardize"})'
        return f"Lower the learning rate, for example to {spec.optimizer.lr / 10:g}{other}."
    return (
        f"The largest stable learning rate of {spec.optimizer.type} on this data is {bound:.4g}; "
        f"half of it, {bound / 2:.3g}, is a good start."
    )
