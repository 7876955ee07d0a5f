"""What the predicting process is told, one line of JSON each, and what it answers."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from service.predictions.attempts import PredictionRef

__all__ = ["DONE", "Order", "PredictorConfig"]

DONE = b"done\n"
"""The answer to each order: all that was to be recorded is recorded."""


class PredictorConfig(BaseModel):
    """What the process needs to know: the first line that it reads."""

    model_config = ConfigDict(frozen=True)

    database_url: str = Field(repr=False)  # It may have a password in it.
    doorbell_dir: Path
    datasets_dir: Path
    predictions_dir: Path
    failpoints_dir: Path | None
    min_free_bytes: int
    memory_bytes: int
    log_format: str
    log_level: str


class Order(BaseModel):
    """To the process: predict this."""

    model_config = ConfigDict(frozen=True)

    id: str
    attempt: int

    @property
    def ref(self) -> PredictionRef:
        """The claim."""
        return PredictionRef(self.id, self.attempt)
