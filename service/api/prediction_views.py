"""From the rows of batch predictions to the JSON that callers see."""

from typing import Any

from service.predictions.lifecycle import TERMINAL, PredictionStatus
from service.predictions.orm import Prediction

__all__ = ["prediction_view"]


def prediction_view(prediction: Prediction) -> dict[str, Any]:
    """Describe one prediction."""
    status = PredictionStatus(prediction.status)
    return {
        "id": prediction.id,
        "object": "batch_prediction",
        "status": status,
        "terminal": status in TERMINAL,
        "created_at": prediction.created_at,
        "started_at": prediction.started_at,
        "finished_at": prediction.finished_at,
        "progress": _progress(prediction, status),
        "source": {
            "job_id": prediction.job_id,
            "model": prediction.model_name,
            "version": prediction.model_version,
            "model_id": prediction.model_id,
            "digest": prediction.model_digest,
        },
        "dataset_id": prediction.dataset_id,
        "keep": prediction.keep,
        "attempt": prediction.attempt,
        "error": prediction.error,
        "result": prediction.result,
        "links": _links(prediction.id),
    }


def _progress(prediction: Prediction, status: PredictionStatus) -> dict[str, Any]:
    share = prediction.done / prediction.total if prediction.total else 0.0
    fraction = 1.0 if status is PredictionStatus.SUCCEEDED else share
    return {"rows": prediction.done, "total": prediction.total, "fraction": fraction}


def _links(prediction_id: str) -> dict[str, str]:
    base = f"/v1/predictions/{prediction_id}"
    return {"self": base, "result": f"{base}/result", "cancel": f"{base}/cancel"}
