"""From the rows of registered models to the JSON that callers see."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy.orm import Session

from service.registry import repository
from service.registry.orm import Model, ModelVersion

__all__ = ["model_view", "model_views", "version_view", "version_views"]


def model_view(session: Session, model: Model) -> dict[str, Any]:
    """Describe one model."""
    return model_views(session, [model])[0]


def model_views(session: Session, models: Sequence[Model]) -> list[dict[str, Any]]:
    """Describe several models."""
    seqs = [model.seq for model in models]
    summaries, aliases = repository.summaries(session, seqs), repository.aliases(session, seqs)
    nothing = repository.Summary(0, None, None)
    return [_model(model, summaries.get(model.seq, nothing), aliases[model.seq]) for model in models]


def _model(model: Model, summary: repository.Summary, aliases: dict[str, int]) -> dict[str, Any]:
    base = f"/v1/models/{model.name}"
    return {
        "object": "model",
        "name": model.name,
        "description": summary.description,
        "versions": summary.versions,
        "latest_version": summary.number,
        "aliases": aliases,
        "created_at": model.created_at,
        "updated_at": model.updated_at,
        "links": {"self": base, "versions": f"{base}/versions", "predict": f"{base}/predict"},
    }


def version_view(session: Session, name: str, version: ModelVersion) -> dict[str, Any]:
    """Describe one version of the model of this name."""
    return version_views(session, name, [version])[0]


def version_views(session: Session, name: str, versions: Sequence[ModelVersion]) -> list[dict[str, Any]]:
    """Describe several versions of one model."""
    specs = repository.spec_texts(session, {version.digest for version in versions})
    aliases = repository.aliases(session, {version.model_seq for version in versions})
    return [
        _version(
            name,
            version,
            spec=specs[version.digest],
            aliases=[one for one, number in aliases[version.model_seq].items() if number == version.number],
        )
        for version in versions
    ]


def _version(name: str, version: ModelVersion, *, spec: str, aliases: Sequence[str]) -> dict[str, Any]:
    return {
        "id": version.id,
        "object": "model_version",
        "name": name,
        "version": version.number,
        "aliases": aliases,
        "description": version.description,
        "created_at": version.created_at,
        "digest": version.digest,
        "inputs": version.inputs,
        "outputs": version.outputs,
        "metadata": version.labels,
        "result": version.result,
        "lineage": version.lineage,
        # The text goes out as it was stored: megabytes of inline rows are not parsed for each look.
        "spec": orjson.Fragment(spec),
        "links": _links(name, version),
    }


def _links(name: str, version: ModelVersion) -> dict[str, str]:
    base = f"/v1/models/{name}"
    return {
        "self": f"{base}/versions/{version.number}",
        "model": base,
        "predict": f"{base}/predict?version={version.number}",
        "job": f"/v1/jobs/{version.job_id}",
    }
