"""Whether the sections of a spec go together, and fit the table that they are about."""

from service.exceptions import Problem
from service.spec.augmentation import augmentation_problems
from service.spec.estimates import is_streamed, largest_batch
from service.spec.grouping import grouping_problems
from service.spec.job import JobSpec
from service.spec.library import Library
from service.spec.limits import Limits
from service.spec.metrics import metric_problems
from service.spec.models import PolynomialModel
from service.spec.pairing import pairing_problems
from service.spec.plan import Plan
from service.spec.pointers import pointer_to
from service.spec.schema import Column

__all__ = ["batch_problems", "below", "coherence_problems"]


def coherence_problems(plan: Plan, limits: Limits, library: Library) -> list[Problem]:
    """Compare the sections with each other and with the columns."""
    spec = plan.spec
    used = [name for names in spec.data.roles().values() for name in names]
    found = spec.preprocessing.column_problems(plan.schema, features=used, targets=spec.data.target_names)
    found += _image_problems(plan)
    found += pairing_problems(
        spec.loss,
        spec.model,
        targets=plan.targets,
        inputs=tuple(spec.data.roles()),
        rows=plan.schema.rows,
        target_scaling=spec.preprocessing.target_scaling,
    )
    found += _unused_choices(plan)
    found = found or [*_lengths_problems(plan), *_encoding_problems(plan), *_format_problems(plan)]
    if found:
        return found
    found = [below("model", p) for p in spec.model.problems(inputs=plan.inputs, outputs=plan.outputs)]
    found += _code_problems(plan)
    found += augmentation_problems(spec.training.augmentation, plan.inputs)
    found += [below("evaluation", p) for p in metric_problems(spec.evaluation.metrics or (), spec.loss)]
    if spec.scheduler is not None:
        # Whether it fits the length of the training is told later, when the batch size is known.
        found += [below("scheduler", p) for p in spec.scheduler.problems(limits, optimizer=spec.optimizer)]
    found += _row_problems(plan) + _run_problems(plan) + grouping_problems(plan)
    return found + _init_problems(spec, library)


def _row_problems(plan: Plan) -> list[Problem]:
    """Refuse splits that leave nothing to train on, as far as the number of rows tells."""
    folds = plan.spec.evaluation.folds
    if plan.train_rows < 2:  # noqa: PLR2004 - a line needs two points
        message = f"Of {plan.schema.rows} rows the split leaves {max(0, plan.train_rows)} for training; at least 2 are needed."
        return [Problem("/evaluation/split", "too_few_rows", message, "Hold fewer rows back, or send more.")]
    if folds is not None and plan.train_rows < max(3, folds.k):
        message = (
            f"{plan.train_rows} rows cannot be cut into {folds.k} folds with something left to train on."
        )
        return [
            Problem("/evaluation/folds/k", "too_few_rows", message, "Take fewer folds, or send more rows.")
        ]
    return []


def batch_problems(plan: Plan) -> list[Problem]:
    """Refuse batches that batch normalization cannot take: of one row, or read piece by piece."""
    model, training = plan.spec.model, plan.spec.training
    if not model.has_batch_norm:
        return []
    pointer = "/training/batch_size"
    if is_streamed(plan) and plan.batch_rows > largest_batch(plan):
        message = (
            "The rows are too many for memory, and a batch that is read in pieces cannot be normalized whole."
        )
        hint = f"Choose a batch_size of at most {largest_batch(plan)}."
        return [Problem(pointer, "batch_too_large", message, hint)]
    rows = plan.smallest_train_rows
    size = training.batch_size if isinstance(training.batch_size, int) else rows
    last = rows % size or size
    smallest = size if training.drop_last and rows > size else last
    if smallest > 1 or not plan.knows_rows or len(plan.inputs) > 1:
        return []
    message = f"{rows} rows in batches of {size} have a batch of one row, which cannot be normalized."
    hint = (
        "Choose another batch_size." if size == 1 else 'Say "drop_last": true, or choose another batch_size.'
    )
    return [Problem(pointer, "batch_too_small", message, hint)]


def _unused_choices(plan: Plan) -> list[Problem]:
    """Refuse choices that would change nothing: nothing is ignored in silence."""
    preprocessing, found = plan.spec.preprocessing, []
    if preprocessing.target_scaling != "none" and plan.spec.loss.target != "values":
        message = f"{plan.spec.loss.type} takes classes or labels, which are not scaled."
        hint = "Leave target_scaling out; `scaling` is for the features."
        found.append(Problem("/preprocessing/target_scaling", "incompatible_fields", message, hint))
    features = {column.name: column for column in plan.features}
    for name, own in preprocessing.columns.items():
        for field in own.model_dump(exclude_none=True):
            why = _unused_choice(plan, name, field, features.get(name))
            if why:
                pointer = f"/preprocessing/columns{pointer_to(name, field)}"
                found.append(Problem(pointer, "incompatible_fields", why, "Leave it out."))
    return found


def _unused_choice(plan: Plan, name: str, field: str, feature: Column | None) -> str | None:
    """Tell why a choice for one column would change nothing; None where it does."""
    if feature is None:
        if name in plan.spec.data.target_names and field == "missing":
            return None
        return f"`{name}` is no feature of the first input: nothing is done with it here."
    if feature.kind != "category" and field in {"encoding", "embedding_dim"}:
        return f"`{name}` holds no categories."
    if feature.kind != "number" and field == "scaling":
        return f"`{name}` holds no numbers that could be scaled one by one."
    return None


LARGEST_FLOAT32 = 3.4e38


def _format_problems(plan: Plan) -> list[Problem]:
    """Refuse numbers that the number format of the training cannot hold."""
    if plan.spec.training.dtype != "float32":
        return []
    scaled = {c.name for c in plan.features if plan.spec.preprocessing.treatment(c).scaling != "none"}
    scaled |= set() if plan.spec.preprocessing.target_scaling == "none" else set(plan.spec.data.target_names)
    for column in (*plan.features, *plan.targets):
        largest = max(abs(column.minimum or 0.0), abs(column.maximum or 0.0))
        if largest > LARGEST_FLOAT32 and column.name not in scaled:
            message = f"`{column.name}` holds {largest:.3g}, more than float32 can: {LARGEST_FLOAT32:g}."
            hint = 'Scale it, change its unit, or train in "dtype": "float64".'
            return [Problem("/training/dtype", "data_not_finite", message, hint)]
    return []


def _lengths_problems(plan: Plan) -> list[Problem]:
    """Compare the columns of lengths with the loss: only sequences have them, and they need them."""
    lengths, is_sequence = plan.spec.data.lengths, plan.spec.loss.target == "sequence"
    if is_sequence and lengths is None:
        message = f"{plan.spec.loss.type} needs to know how much of each sequence counts."
        hint = 'Name the columns: "lengths": {"input": "…", "target": "…"}.'
        return [Problem("/data/lengths", "missing", message, hint)]
    if lengths is not None and not is_sequence:
        message = f"{plan.spec.loss.type} has no sequences of different lengths."
        return [
            Problem("/data/lengths", "incompatible_fields", message, "Leave lengths out, or take CTCLoss.")
        ]
    return []


def _encoding_problems(plan: Plan) -> list[Problem]:
    """Refuse encodings that the model cannot use."""
    preprocessing, model = plan.spec.preprocessing, plan.spec.model
    categories = [column for column in plan.features if column.kind == "category"]
    embedded = [c for c in categories if preprocessing.treatment(c).encoding == "embedding"]
    if isinstance(model, PolynomialModel) and categories:
        message = f"`{categories[0].name}` holds categories: powers and products of 0 and 1 are no new terms."
        hint = "Leave it out of `features`, or take the model `mlp`."
        return [Problem("/model/type", "incompatible_fields", message, hint)]
    noisy = [i for i, step in enumerate(plan.spec.training.augmentation) if step.type == "noise"]
    if noisy and (embedded or model.code_count is not None):
        message = "Noise would turn the codes of an embedding into other categories."
        pointer = f"/training/augmentation/{noisy[0]}"
        return [Problem(pointer, "incompatible_fields", message, "Leave the noise out, or take one_hot.")]
    if model.code_count is not None and _scales(plan):
        message = "Codes that an Embedding reads cannot be scaled."
        return [
            Problem("/preprocessing", "incompatible_fields", message, "Leave the scaling of features out.")
        ]
    return _role_problems(plan)


def _scales(plan: Plan) -> bool:
    preprocessing = plan.spec.preprocessing
    treated = any(preprocessing.treatment(c).scaling != "none" for c in plan.features if c.kind == "number")
    return treated or (
        any(c.kind == "array" for c in plan.features) and preprocessing.arrays == "standardize"
    )


def _role_problems(plan: Plan) -> list[Problem]:
    """Refuse inputs that one network cannot take one after the other."""
    roles = plan.spec.data.roles()
    if len(roles) == 1:
        return []
    found = []
    for place, column in enumerate(plan.features):
        others = [plan.schema.by_name[names[place]] for names in roles.values()]
        if any((o.kind, o.shape) != (column.kind, column.shape) for o in others):
            message = f"The inputs beside `{column.name}` are of another kind or shape than it is."
            found.append(
                Problem("/data/inputs", "incompatible_fields", message, "Compare columns of one kind.")
            )
        elif column.kind == "category" and any(o.values != column.values for o in others):
            message = f"The inputs beside `{column.name}` hold other categories than it does."
            hint = "Compare columns of the same values."
            found.append(Problem("/data/inputs", "incompatible_fields", message, hint))
    if len(set(roles.values())) < len(roles):
        message = "Two inputs are the same columns: there is nothing to compare."
        found.append(
            Problem("/data/inputs", "duplicate_column", message, "Name other columns for one of them.")
        )
    return found


def _code_problems(plan: Plan) -> list[Problem]:
    """Refuse codes that a leading Embedding has no row for: torch would fail on them in the middle of a training."""
    count = plan.spec.model.code_count
    if count is None:
        return []
    found = []
    for column in plan.features:
        low, high = column.minimum, column.maximum
        if low is not None and high is not None and (low < 0 or high >= count):
            message = f"`{column.name}` holds codes from {low:g} to {high:g}; the Embedding has rows for 0 to {count - 1}."
            hint = f"Set num_embeddings to {high + 1:g} or more." if low >= 0 else "Let the codes begin at 0."
            found.append(Problem("/model/layers/0/num_embeddings", "out_of_range", message, hint))
    return found


def _image_problems(plan: Plan) -> list[Problem]:
    """Refuse images beside other columns: no layer takes both."""
    images = [column.name for column in plan.features if len(column.shape) > 1]
    if not images or len(plan.features) == 1:
        return []
    message = f"`{images[0]}` holds images or sequences: it must be the only feature."
    return [Problem("/data/features", "incompatible_fields", message, f'As in "features": ["{images[0]}"].')]


def _run_problems(plan: Plan) -> list[Problem]:
    found, spec = [], plan.spec
    stopping = spec.training.early_stopping
    if stopping and stopping.monitor == "dev_loss" and not plan.has_dev:
        message = "Early stopping watches the dev loss, and no rows are held back for it."
        hint = 'Add "evaluation": {"split": {"type": "random", "dev": 0.2}}, or monitor train_loss.'
        found.append(Problem("/training/early_stopping/monitor", "incompatible_fields", message, hint))
    if spec.evaluation.folds and spec.training.restarts > 1:
        message = "Restarts and folds are two kinds of repeated trainings."
        found.append(Problem("/training/restarts", "incompatible_fields", message, "Send one of the two."))
    if spec.training.restarts > 1 and _is_without_chance(plan):
        message = "All restarts would begin at the same parameters and take the same steps."
        hint = "Leave init_from out, or train in shuffled batches."
        found.append(Problem("/training/restarts", "incompatible_fields", message, hint))
    return found


def _is_without_chance(plan: Plan) -> bool:
    """Whether the seed changes nothing: given parameters, no order of batches, nothing drawn in a step."""
    spec = plan.spec
    is_ordered = plan.batch_rows >= plan.train_rows or not spec.training.shuffle
    starts_alike = spec.model.start is not None and spec.model.start.strict
    return starts_alike and is_ordered and not spec.model.has_dropout and not spec.training.augmentation


def _init_problems(spec: JobSpec, library: Library) -> list[Problem]:
    source = spec.model.init_from_job
    if source is None or library.has_parameters(source):
        return []
    message = f"There is no job `{source}` that left parameters to start from."
    hint = "GET /v1/jobs?status=succeeded lists the jobs that did."
    return [Problem("/model/init_from", "unknown_job", message, hint)]


def below(section: str, problem: Problem) -> Problem:
    """Point to a problem from the job instead of from its section."""
    return Problem(f"/{section}{problem.pointer}", problem.code, problem.message, problem.hint)
