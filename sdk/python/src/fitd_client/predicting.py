"""Rows to a model, predictions back."""

from collections.abc import Sequence
from typing import Any

from fitd_client.answers import Prediction
from fitd_client.asking import Asking
from fitd_client.errors import UnreadableData
from fitd_client.packages import has
from fitd_client.predicted import Predicted
from fitd_client.tables import Table, table_of
from fitd_client.wire import ARROW, JSON, Parameters, Request, Steps, json_body, parsed

__all__ = ["MOST_INLINE_CELLS", "Predicting"]

MOST_INLINE_CELLS = 20_000
"""Values up to which JSON is as quick as Arrow; beyond, it is the larger part of the work."""


class Predicting(Asking):
    """Something that predicts rows."""

    def _predicted(
        self,
        path: str,
        X: Any,  # noqa: ANN401, N803 - tables of all kinds, and their usual name
        *,
        features: Sequence[str],
        targets: Sequence[str],
        params: Parameters | None = None,
    ) -> Steps[tuple[Predicted, Table]]:
        """Send rows and read what comes back, as JSON or, where they are many, as Arrow."""
        table = table_of(X, names=features)
        if features and set(features) <= set(table.names):
            table = table.select(features)
        if not table.rows:
            raise UnreadableData("There are no rows to predict.")
        large = table.cells > MOST_INLINE_CELLS and has("pyarrow")
        media = ARROW if large else JSON
        body = table.arrow_bytes() if large else json_body({"columns": table.inline()})
        headers = {"Content-Type": media, "Accept": media}
        request = Request(
            method="POST", path=path, body=body, headers=headers, params=params or {}, repeatable=True
        )
        answer = yield from self._exchange(request)
        if large:
            return Predicted.from_arrow(answer.content, targets=targets), table
        return Predicted.from_json(parsed(Prediction, answer)), table
