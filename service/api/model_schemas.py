"""What callers send and the API answers about registered models, as models for its OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from service.api.schemas import EffectiveSpec, Engine, Result, Wire
from service.registry.service import LATEST
from service.spec.base import NO_NUL, NOT_IN_SCHEMA, NUL_HINT
from service.spec.job import MetadataKey, MetadataValue

__all__ = [
    "ALIAS",
    "AliasRequest",
    "Model",
    "ModelList",
    "ModelVersion",
    "ModelVersionList",
    "RegistrationRequest",
]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
ALIAS = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"
_JOB = "job_"


def _no_job(name: str) -> str:
    if name.startswith(_JOB):
        hint = "Where a model is asked for, a job can be named as well: a name must not look like its id."
        raise PydanticCustomError("reserved_name", "The name begins with `job_`.", {"hint": hint})
    return name


def not_latest(alias: str) -> str:
    """Refuse the one word that cannot be an alias."""
    if alias == LATEST:
        hint = "`latest` always stands for the newest version: choose another word."
        raise PydanticCustomError("reserved_name", "`latest` cannot be an alias.", {"hint": hint})
    return alias


def _without_nul(version: int | str) -> int | str:
    # As a pattern of the text it would be told as what is wrong with a number: of a union, the first problem is.
    if isinstance(version, str) and "\0" in version:
        raise PydanticCustomError("invalid_text", "The text has the character NUL in it.", {"hint": NUL_HINT})
    return version


Name = Annotated[str, StringConstraints(pattern=NAME), AfterValidator(_no_job)]
Alias = Annotated[str, StringConstraints(pattern=ALIAS), AfterValidator(not_latest)]
Description = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class RegistrationRequest(_Sent):
    """A fit to register under a name."""

    name: Name
    """Name of the model: up to 100 letters, digits and `.`, `_`, `-`, beginning with a letter or a digit."""
    job: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL), NOT_IN_SCHEMA]
    """Id of the job whose fit becomes the next version. It must have ended, and not failed."""
    aliases: Annotated[list[Alias], Field(max_length=20, default_factory=list)]
    """These point to the version from then on: up to 64 letters, digits and `.`, `_`, `-`, beginning with a letter."""
    description: Description | None = None
    """Of this version, for people."""
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16, default_factory=dict)]
    """Up to 16 pairs of strings that go with this version."""


class AliasRequest(_Sent):
    """Where an alias shall point."""

    version: Annotated[
        Annotated[int, Field(ge=1, le=2**31 - 1)] | Annotated[str, StringConstraints(max_length=64)],
        AfterValidator(_without_nul),
    ]
    """The number of a version, another alias, or `latest`."""


class ModelInput(Wire):
    """A column that a prediction needs."""

    name: str
    kind: Literal["number", "category", "array"]
    missing: bool
    """Whether a row may have no value here."""
    categories: list[str | float] | None = None
    """The texts that are known, of a category."""
    shape: list[int] | None = None
    """Of one row's value, of an array."""


class ModelOutput(Wire):
    """A column that a prediction gives."""

    name: str
    kind: Literal["number", "class", "sequence"]
    classes: list[str | float] | None = None


class DatasetPlace(Wire):
    """The dataset that a version was trained on, which may be deleted by now."""

    id: str
    digest: str | None
    """SHA-256 that names its content."""


class Lineage(Wire):
    """Where a version came from. What it names may be deleted by now; the version is none the worse for it."""

    job_id: str
    sweep_id: str | None
    rerun_of: str | None
    init_job_id: str | None
    """The job whose parameters the training started from."""
    dataset: DatasetPlace | None
    data_type: str
    split_digest: str | None
    """Names the division of the rows into train, dev and test; null for jobs with groups."""
    seed: int
    engine: Engine | None
    environment: dict[str, Any] | None
    """What must be equal for a repetition to be equal to the last bit, such as the versions of fitd and torch."""
    stop_reason: str | None
    started_at: datetime | None
    finished_at: datetime | None


class ModelVersion(Wire):
    """A registered fit: it never changes, and it outlives the job and the dataset that it came from."""

    id: str
    object: Literal["model_version"]
    name: str
    version: int
    """Counts the versions of the model from 1; no number is given twice."""
    aliases: list[str]
    """Those that point to it at the moment."""
    description: str | None
    created_at: datetime
    digest: str
    """SHA-256 over parameters and spec: versions of one digest predict the same."""
    inputs: list[ModelInput]
    outputs: list[ModelOutput]
    metadata: dict[str, str]
    result: Result | None
    """Of the job."""
    lineage: Lineage
    spec: EffectiveSpec
    links: dict[str, str]


class ModelVersionList(Wire):
    """A page of a model's versions, newest first."""

    object: Literal["list"]
    data: list[ModelVersion]
    has_more: bool
    next_after: str | None
    """Send it as `after` to get the next page."""


class Model(Wire):
    """A name and its versions."""

    object: Literal["model"]
    name: str
    description: str | None
    """That of the newest version."""
    versions: int
    """How many there are."""
    latest_version: int | None
    """Number of the newest; null where all were deleted."""
    aliases: dict[str, int]
    """The version that each points to."""
    created_at: datetime
    updated_at: datetime
    """When a version or an alias last came, went or moved."""
    links: dict[str, str]


class ModelList(Wire):
    """A page of models, newest first."""

    object: Literal["list"]
    data: list[Model]
    has_more: bool
    next_after: str | None
    """Send it as `after` to get the next page."""
