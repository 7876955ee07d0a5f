"""What works but is rarely meant."""

from service.spec.plan import Plan
from service.spec.preprocessing import PreprocessingSpec

__all__ = ["advice"]

LARGE = 100.0
"""Numbers further from zero than this make plain descent slow or let it diverge."""
FEW_ROWS = 10
"""Rows for each parameter below which a fit without a dev set says little."""


def advice(plan: Plan) -> list[dict[str, str]]:
    """List what the sender of a spec may want to change; each with pointer, code and message."""
    return [*_batch_advice(plan), *_scaling_advice(plan), *_split_advice(plan)]


def _batch_advice(plan: Plan) -> list[dict[str, str]]:
    size = plan.spec.training.batch_size
    if not isinstance(size, int):
        return []
    pointer = "/training/batch_size"
    if size > plan.train_rows:
        message = f"There are only {plan.train_rows} rows to train on: this is the same as `full`."
        return [{"pointer": pointer, "code": "batch_larger_than_data", "message": message}]
    if size & (size - 1):
        message = "Powers of two, such as 32, 64 or 256, use the hardware best."
        return [{"pointer": pointer, "code": "not_a_power_of_two", "message": message}]
    return []


def _scaling_advice(plan: Plan) -> list[dict[str, str]]:
    preprocessing: PreprocessingSpec = plan.spec.preprocessing
    large = [
        column.name
        for column in plan.features
        if column.kind == "number"
        and preprocessing.treatment(column).scaling == "none"
        and max(abs(column.minimum or 0.0), abs(column.maximum or 0.0)) > LARGE
    ]
    if not large:
        return []
    message = f"`{large[0]}` holds numbers beyond {LARGE:g}: scaled features train faster and do not diverge."
    return [{"pointer": "/preprocessing/scaling", "code": "unscaled_features", "message": message}]


def _split_advice(plan: Plan) -> list[dict[str, str]]:
    if plan.has_dev or plan.train_rows >= FEW_ROWS * plan.parameter_count:
        return []
    message = (
        f"{plan.parameter_count:,} parameters are fitted to {plan.train_rows:,} rows, and none is held back: "
        "nothing will tell whether the fit is good on new rows."
    )
    return [{"pointer": "/evaluation/split", "code": "no_dev_set", "message": message}]
