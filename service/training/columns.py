"""The columns that a training reads: rows without a value in one of them cannot be used."""

from service.spec.job import JobSpec
from service.spec.schema import Column, Schema

__all__ = ["columns_in_use"]


def columns_in_use(spec: JobSpec, schema: Schema) -> tuple[Column, ...]:
    """Give the columns of all inputs, then the targets, each once.

    Args:
        spec: The effective spec.
        schema: Of the table that it names.
    """
    data = spec.data
    names = [*(name for names in data.roles().values() for name in names), *data.target_names]
    return tuple(schema.by_name[name] for name in dict.fromkeys(names))
