"""What the API answers about exports, as models for its OpenAPI document."""

from typing import Literal

from service.api.schemas import Wire
from service.exports.formats import ExportFormat
from service.exports.report import Report

__all__ = ["Export", "ExportList", "ExportReport"]


class Export(Wire):
    """A format in which a trained model can be had, or not."""

    object: Literal["export"]
    format: ExportFormat
    media_type: str
    """Of the file."""
    about: str
    """What it is good for."""
    available: bool
    """Whether it can carry this model, as far as the spec tells; making it may still find that it cannot."""
    reason: str | None
    """Why it cannot; null where it can."""
    links: dict[str, str]
    """`file` and `report`."""


class ExportList(Wire):
    """All formats."""

    object: Literal["list"]
    data: list[Export]
    has_more: Literal[False]
    next_after: None


class ExportReport(Report):
    """How an exported file was verified."""

    object: Literal["export_report"]
