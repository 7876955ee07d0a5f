"""Which targets, models and losses belong together, and which to take instead where they do not."""

from collections.abc import Mapping, Sequence

from service.exceptions import Problem
from service.spec.losses import LossSpec, Target
from service.spec.metrics import default_metrics
from service.spec.pairing.activations import activation_problems, output_kind
from service.spec.pairing.case import Case, Fitted, wrong
from service.spec.pairing.natures import Nature, classes_of, listed, nature_of
from service.spec.pairing.targets import number_of_targets, target_problems
from service.spec.schema import Column

__all__ = ["Fitted", "classes_of", "default_metrics", "output_kind", "pairing_problems"]


def pairing_problems(
    loss: LossSpec,
    model: Fitted,
    *,
    targets: Sequence[Column],
    inputs: Sequence[str] | None = None,
    rows: int | None = None,
    target_scaling: str | None = None,
) -> list[Problem]:
    """Tell which of targets, model and loss do not belong together.

    Args:
        loss: The loss.
        model: The model, of which the type and the last activation count.
        targets: The target columns, in their order.
        inputs: Names of the network's inputs, `("features",)` being the usual single one; None to leave
            them unchecked.
        rows: Rows of the table, by which values that hardly repeat are told from classes; None where unknown.
        target_scaling: `none`, `standardize` or `min_max`; None where unknown: then targets are not compared
            with the range of the last activation.

    Returns:
        Problems of the code `wrong_pairing`, with pointers into the job. Each is at the part that should
        change, and its hint names the right one.
    """
    case = Case(loss, model, targets, rows=rows, inputs=inputs, target_scaling=target_scaling)
    found = _input_problems(case) or target_problems(case)
    return found or _model_problems(case) or [*activation_problems(case), *_weight_problems(case)]


_COMPARISONS: Mapping[frozenset[str], str] = {
    frozenset(
        {"first", "second"}
    ): "MarginRankingLoss ranks them and CosineEmbeddingLoss tells alike from unlike.",
    frozenset({"anchor", "positive", "negative"}): "TripletMarginLoss compares these three.",
}


def _input_problems(case: Case) -> list[Problem]:
    roles, inputs = case.loss.roles, case.inputs
    if inputs is None or set(inputs) == set(roles or ("features",)):
        return []
    if roles:
        names = ", ".join(f"`{name}`" for name in roles)
        hint = '"inputs": {' + ", ".join(f'"{name}": ["…"]' for name in roles) + "}."
        return [wrong("/data/inputs", f"{case.loss.type} compares the inputs {names}.", f"Name them: {hint}")]
    message = f"{case.loss.type} takes one input, and there are {len(inputs)}."
    other = _COMPARISONS.get(frozenset(inputs), "Name the columns in `features`.")
    return [wrong("/data/inputs", message, f"Name its columns in `features`; or: {other}")]


_MODEL_TARGETS: Mapping[str, frozenset[Target]] = {
    "logistic": frozenset({"binary", "signs"}),
    "softmax": frozenset({"classes", "distribution"}),
}
"""Models that are made for some targets only."""
_MODEL_GIVES: Mapping[str, str] = {
    "logistic": "one score for yes or no",
    "softmax": "one score for each of several classes",
}
_MODEL_HINTS: Mapping[tuple[str, Nature], str] = {
    ("logistic", "two_classes"): "Take BCEWithLogitsLoss, or the model `softmax` with CrossEntropyLoss.",
    ("logistic", "classes"): "Take the model `softmax`.",
    ("softmax", "two_classes"): "Take the model `logistic`, or CrossEntropyLoss.",
    ("softmax", "classes"): "Take CrossEntropyLoss.",
    ("softmax", "labels"): "Take the model `logistic`.",
}
_ONE_VECTOR = frozenset({"linear", "polynomial", "logistic", "softmax", "mlp", "cnn"})
"""Models that give one vector for a row, and no sequence of them."""


def _model_problems(case: Case) -> list[Problem]:
    loss, model = case.loss, case.model
    if loss.target == "sequence" and model.type in _ONE_VECTOR:
        message = (
            f"CTCLoss needs scores for each step, and the model `{model.type}` gives them once for a row."
        )
        hint = 'Take the model `sequential` with an LSTM or GRU of "output": "sequence".'
        return [wrong("/model/type", message, hint)]
    made_for = _MODEL_TARGETS.get(model.type)
    # A sigmoid makes a logistic model one of probabilities, which a loss of numbers may fit as well.
    fits_probability = loss.target == "values" and output_kind(model.last_activation) == "probability"
    if made_for is None or loss.target in made_for or (model.type == "logistic" and fits_probability):
        return []
    nature = nature_of(case.targets, rows=case.rows)
    message = f"The model `{model.type}` gives {_MODEL_GIVES[model.type]}, which {loss.type} does not take."
    hint = _MODEL_HINTS.get((model.type, nature), "Take the model `linear` or `mlp`.")
    return [wrong("/model/type", message, hint)]


def _weight_problems(case: Case) -> list[Problem]:
    loss = case.loss
    if loss.target == "classes":
        classes = classes_of(case.targets[0])
        wanted, what = len(classes), f"classes ({listed(classes)})"
    else:
        wanted, what = number_of_targets(case), "target columns"
    found = []
    for name, weights in loss.weights().items():
        if len(weights) != wanted:
            message = f"There are {len(weights):,} weights and {wanted:,} {what}."
            found.append(
                wrong(f"/loss/{name}", message, f"Give {wanted:,} weights, in the order of the {what}.")
            )
        elif not any(weights):
            message = "All weights are 0: nothing would be learnt."
            found.append(wrong(f"/loss/{name}", message, "Give at least one weight above 0."))
    return found
