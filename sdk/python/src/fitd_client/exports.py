"""Models in forms that can be taken away."""

from pathlib import Path
from typing import Protocol

from fitd_client import answers
from fitd_client.asking import Asking, in_path
from fitd_client.operations import operation
from fitd_client.wire import Parameters, Steps

__all__ = ["Exporting"]


_EXPORT_SECONDS = 300.0
"""A program is made and compared when it is first asked for."""


class _Placed(Protocol):
    @property
    def path(self) -> str: ...


class Exporting(Asking):
    """Something whose model can be taken away."""

    def _export_params(self) -> Parameters:
        return {}

    def _exports_path(self) -> str:
        placed: _Placed = self  # type: ignore[assignment]
        return f"{placed.path}/exports"

    @operation
    def exports(self) -> Steps[list[answers.Export]]:
        """List the forms in which the model can be taken away, and why others cannot carry it."""
        page = yield from self._read(answers.Page, self._exports_path(), params=self._export_params())
        return [answers.Export.model_validate(one) for one in page.data]

    @operation
    def export(self, format: str, path: str | Path | None = None) -> Steps[bytes]:  # noqa: A002 - the usual word
        """Give the model as a file.

        Args:
            format: `safetensors`, `onnx`, `pt2`, `coefficients` or `script`.
            path: Where to write it, if anywhere.

        Raises:
            Conflict: The format cannot carry this model; the text says why.
        """
        place = f"{self._exports_path()}/{in_path(format)}"
        content = yield from self._get(
            place, params=self._export_params(), accept="*/*", wait=_EXPORT_SECONDS
        )
        if path is not None:
            Path(path).write_bytes(content)
        return content

    @operation
    def export_report(self, format: str) -> Steps[answers.ExportReport]:  # noqa: A002 - the usual word
        """Tell how near the exported model's predictions are to the service's."""
        place = f"{self._exports_path()}/{in_path(format)}/report"
        told = yield from self._get(place, params=self._export_params(), wait=_EXPORT_SECONDS)
        return answers.ExportReport.model_validate_json(told)
