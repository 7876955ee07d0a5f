"""What the operator can set, each also as an environment variable `FITD_<NAME>`."""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.spec.limits import Limits

__all__ = ["Settings"]


def _default_slots() -> int:
    """One runner for each core, within reason: each holds some 220 MB."""
    return max(2, min(4, os.cpu_count() or 2))


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
    """Folder for the database and everything else that is kept; made when missing."""
    database_url: str = ""
    """SQLAlchemy URL of the database. Empty: SQLite, in the file `fitd.db` of the data folder."""
    host: str = "127.0.0.1"
    """Address to listen on. Any other than a loopback address needs an API key."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """TCP port to listen on; 0 takes a free one and logs it."""
    api_key: SecretStr | None = None
    """When set, every call under /v1 must send `Authorization: Bearer <key>`."""
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
    """A job whose process died so often is failed, not tried again."""
    predictor_cache: Annotated[int, Field(ge=1)] = 64
    """Trained models that are kept in memory for predictions."""
    parse_slots: Annotated[int, Field(ge=1)] = 2
    """Uploaded datasets that are read at the same time, each in a process of its own."""
    parse_memory_bytes: Annotated[int, Field(ge=2**26)] = 2**30
    """Memory of the process that reads an uploaded dataset; on Linux it is held to it."""
    parse_seconds: Annotated[float, Field(gt=0)] = 600.0
    """An uploaded dataset that cannot be read in this time is refused."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 256 * 2**20
    """Room that uploads leave on the disk of the data folder: jobs have to write too."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """Log lines for people, or JSON for machines; `auto` asks whether a terminal is watching."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important level that is logged."""
    limits: Limits = Limits()
    """How large a job may be; each as `FITD_LIMITS__<NAME>`."""

    @model_validator(mode="after")
    def _needs_key_beyond_loopback(self) -> Self:
        if not _is_loopback(self.host) and not (self.api_key and self.api_key.get_secret_value()):
            raise ValueError(
                f"listening on {self.host} makes the service reachable from other machines and needs an API key: "
                "set FITD_API_KEY, or listen on 127.0.0.1"
            )
        return self

    @property
    def effective_database_url(self) -> str:
        """The database's URL, the default filled in."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'fitd.db').resolve()}"

    @property
    def doorbell_dir(self) -> Path:
        """Folder of the named pipes by which the processes of one machine wake each other."""
        return self.data_dir / "doorbells"

    @property
    def datasets_dir(self) -> Path:
        """Folder of the uploaded datasets."""
        return self.data_dir / "datasets"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
