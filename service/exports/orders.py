"""What the process that makes an export is told, and how it answers."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

__all__ = ["FILE", "PARAMETERS", "REFUSAL", "REPORT", "SPEC", "ExportOrder", "Refusal"]

SPEC, PARAMETERS = "spec.json", "parameters.safetensors"
"""Files that are handed over in the folder of an order."""
FILE, REPORT, REFUSAL = "export", "report.json", "refusal.json"
"""Files that it leaves there: the export and its report, or why there is none."""


class ExportOrder(BaseModel):
    """One export to make."""

    model_config = ConfigDict(frozen=True)

    format: str
    folder: Path
    title: str
    id: str
    datasets: Path
    memory_bytes: int
    seconds: float


class Refusal(BaseModel):
    """Why there is no export."""

    is_failure: bool
    message: str
    hint: str
