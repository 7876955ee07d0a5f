"""What the operator can set, each also as an environment variable `FITD_<NAME>`."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.spec.limits import Limits

__all__ = ["Retention", "Settings", "Trackers", "is_loopback"]

_ORIGIN = re.compile(r"https?://[^/\s@*?#]+")


def _default_slots() -> int:
    """One runner for each core, within reason: each holds some 30 MB beside the 300 MB that they share."""
    return max(2, min(4, os.cpu_count() or 2))


def _listed(value: object) -> object:
    """Read `a, b` from an environment variable as a list."""
    return tuple(filter(None, re.split(r"[,\s]+", value))) if isinstance(value, str) else value


def _named(value: object) -> object:
    """Read an empty environment variable as none: as a path it would be the current folder."""
    return None if value == "" else value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        # `*` would let every page that somebody opens in a browser use a service on that machine.
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"`{origin[:80]}` is no origin: write scheme and host, as in https://app.example.org"
            )
    return value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class Retention(BaseModel):
    """What is removed by itself, and when. Nothing that a job needs which has not ended is ever removed."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    every_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How often a worker looks for what may go."""
    jobs_days: Annotated[float, Field(ge=0, le=36500)] = 0.0
    """Jobs that ended so many days ago are removed with all they own; 0 keeps them."""
    jobs_kept: Annotated[int, Field(ge=0)] = 0
    """Of each owner's ended jobs so many are kept, those that ended last; 0 keeps all."""
    events_days: Annotated[float, Field(ge=0, le=36500)] = 0.0
    """History events of jobs that ended so many days ago are removed, the history itself stays; 0 keeps them."""
    datasets_days: Annotated[float, Field(ge=0, le=36500)] = 0.0
    """Datasets that no job has used for so many days are removed; 0 keeps them."""
    datasets_bytes: Annotated[int, Field(ge=0)] = 0
    """While all datasets together are larger, those unused for longest are removed; 0 sets no bound."""
    leftovers_hours: Annotated[float, Field(ge=0, le=876000)] = 1.0
    """Files of dead processes, and checkpoints of jobs that have ended, are removed so many hours later; 0 keeps them."""


class Trackers(BaseModel):
    """Where each job is told to others while it trains, as a run with its parameters and its history. Off by default."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    mlflow_uri: Annotated[str, Field(repr=False)] = ""
    """MLflow's tracking server, as in `http://127.0.0.1:5000`, or its database, as in `sqlite:////folder/mlflow.db`; empty: none. Its secrets are read from MLflow's own variables. Needs `pip install fitd[mlflow]`."""
    mlflow_experiment: Annotated[str, Field(min_length=1, max_length=500)] = "fitd"
    """The experiment of the runs; it is made where it is missing."""
    mlflow_artifacts: bool = False
    """Whether the parameters (safetensors) and the picture of the loss of each job that has ended are stored with its run."""
    tensorboard_dir: Annotated[Path | None, BeforeValidator(_named)] = None
    """Folder of TensorBoard's event files, made where it is missing; where several hosts run workers, all see the same. Empty: none. Needs `pip install fitd[tensorboard]`."""
    every_seconds: Annotated[float, Field(gt=0)] = 2.0
    """How often it is looked what is new."""
    retry_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Longest time between two tries while a tracker is away."""


class Settings(BaseSettings):
    """The settings of one service. Only `service.__main__` reads them from the environment."""

    model_config = SettingsConfigDict(
        env_prefix="FITD_",
        env_nested_delimiter="__",
        frozen=True,
        use_attribute_docstrings=True,
        extra="ignore",
    )

    data_dir: Path = Path("fitd-data")
    """Folder for the database and everything else that is kept; made when missing. Each host has its own, on a local disk."""
    storage_dir: Annotated[Path | None, BeforeValidator(_named)] = None
    """Folder for datasets and checkpoints, shared by all hosts of one PostgreSQL database; it must be there already. Empty: the data folder."""
    database_url: Annotated[str, Field(repr=False)] = ""
    """URL of the database, as in `postgresql://user:password@host/database`. Empty: SQLite, in the file `fitd.db` of the data folder."""
    host: str = "127.0.0.1"
    """Address to listen on. Any other than a loopback address needs an API key: FITD_API_KEY, or one of `fitd keys`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """TCP port to listen on; 0 takes a free one and logs it."""
    api_key: SecretStr | None = None
    """A key that may do everything, for the owner `local`. When set, every call under /v1 must send `Authorization: Bearer <key>`: this key, or one of `fitd keys`."""
    allowed_hosts: Words = ()
    """Names, with commas between, under which the service may be called, beside loopback names and the address that it listens on; `*` allows any."""
    allowed_origins: Annotated[Words, AfterValidator(_origins)] = ()
    """Origins, with commas between, whose pages may call the service, as in `https://app.example.org`."""
    requests_per_minute: Annotated[int, Field(ge=0)] = 0
    """Calls under /v1 of all callers together that one API process answers; 0 sets no bound."""
    slots: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=_default_slots)
    """Jobs that this worker trains at the same time, each in a warm process of its own."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Threads of one operation in a training process; more than one pays only for wide layers."""
    poll_seconds: Annotated[float, Field(gt=0)] = 0.5
    """How often a worker looks for jobs, and a waiting request at its job, when no doorbell rings."""
    lease_seconds: Annotated[float, Field(gt=0)] = 20.0
    """A worker whose heartbeat stands still for so long has lost its jobs to others."""
    cancel_seconds: Annotated[float, Field(gt=0)] = 10.0
    """A training that does not stop by itself so long after a cancel is killed."""
    max_crashes: Annotated[int, Field(ge=1)] = 3
    """A job whose process died so often in a row, without a new checkpoint, is failed and not tried again."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time between two checkpoints of a training; more where writing one takes long."""
    fair_seconds: Annotated[float, Field(ge=0)] = 10.0
    """A job that has trained for so long gives its place up when another has been first in the queue for so long: it goes on later, from a checkpoint; 0 lets every job run to its end."""
    drain_seconds: Annotated[float, Field(gt=0)] = 8.0
    """Time that a worker that is stopped gives its trainings to write a checkpoint and let go; then they are killed."""
    runner_jobs: Annotated[int, Field(ge=1)] = 1000
    """After so many jobs a training process is replaced by a fresh one."""
    runner_idle_bytes: Annotated[int, Field(ge=2**26)] = 2**30
    """A training process that holds more memory than this after a job is replaced by a fresh one."""
    failpoints_dir: Path | None = None
    """For tests only: a folder whose files make processes die at named moments. Never set it on a service in use."""
    predictor_cache: Annotated[int, Field(ge=1)] = 64
    """Trained models that are kept in memory for predictions."""
    preload: bool = True
    """The API loads torch when it starts. If not, the first prediction waits for it, and an API that never predicts
    or draws saves some 200 MB."""
    parse_slots: Annotated[int, Field(ge=1)] = 2
    """Uploaded datasets that are read at the same time, each in a process of its own."""
    parse_memory_bytes: Annotated[int, Field(ge=2**26)] = 2**30
    """Memory of the process that reads an uploaded dataset; on Linux it is held to it."""
    parse_seconds: Annotated[float, Field(gt=0)] = 600.0
    """An uploaded dataset that cannot be read in this time is refused."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 256 * 2**20
    """Room that uploads and checkpoints leave on the disk that they are written to: jobs have to write too."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """Log lines for people, or JSON for machines; `auto` asks whether a terminal is watching."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important level that is logged."""
    limits: Limits = Limits()
    """How large a job may be; each as `FITD_LIMITS__<NAME>`."""
    retention: Retention = Retention()
    """What is removed by itself; each as `FITD_RETENTION__<NAME>`."""
    trackers: Trackers = Trackers()
    """Where jobs are told to others; each as `FITD_TRACKERS__<NAME>`."""

    @property
    def admin_secret(self) -> bytes | None:
        """What callers with the key of the environment send; None where there is no such key."""
        return (self.api_key.get_secret_value().encode() if self.api_key else b"") or None

    @property
    def effective_database_url(self) -> str:
        """The database's URL, the default filled in."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'fitd.db').resolve()}"

    @property
    def doorbell_dir(self) -> Path:
        """Folder of the named pipes by which the processes of one machine wake each other."""
        return self.data_dir / "doorbells"

    @property
    def _shared_dir(self) -> Path:
        return self.storage_dir or self.data_dir

    @property
    def checkpoints_dir(self) -> Path:
        """Folder of the checkpoints."""
        return self._shared_dir / "checkpoints"

    @property
    def datasets_dir(self) -> Path:
        """Folder of the uploaded datasets."""
        return self._shared_dir / "datasets"

    @property
    def workers_dir(self) -> Path:
        """Folder of the lock files by which workers of one machine see that another is alive."""
        return self.data_dir / "workers"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a service that listens on an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
