"""Registered models: register, list, get, move aliases, delete, predict."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.api import examples
from service.api.bodies import json_body, parsed, request_body
from service.api.context import Accept, Context, Owner, Running
from service.api.model_schemas import ALIAS, AliasRequest, ModelList, ModelVersionList, RegistrationRequest
from service.api.model_schemas import Model as ModelOut
from service.api.model_schemas import ModelVersion as ModelVersionOut
from service.api.model_views import model_view, model_views, version_view, version_views
from service.api.pages import fitting, listed
from service.api.predicting import FILES, Asked, Source, answered, asked_of
from service.api.problems import documented
from service.api.schemas import Prediction, PredictionRequest
from service.api.views import json_response
from service.exceptions import InvalidRequest, Problem
from service.registry import repository, service
from service.registry.fits import NewVersion, fit_of
from service.registry.service import LATEST, Registration
from service.spec.job import JobSpec

__all__ = ["MODEL_VERSION", "router"]

router = APIRouter(prefix="/v1/models", tags=["models"])

MODEL_VERSION = "Fitd-Model-Version"
"""Header of a prediction that says which version of a model it is from."""
_MODEL: dict[str, Any] = {"model": ModelOut}
_VERSION: dict[str, Any] = {"model": ModelVersionOut}
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Path of the version."}}
Version = Annotated[str, Path(description="A number, an alias, or `latest`.", max_length=64)]


@router.post(
    "",
    operation_id="register_model",
    summary="Register a job's fit",
    status_code=201,
    responses={
        200: {
            **_VERSION,
            "description": "The job was registered under this name before: this is the version that it is.",
            "headers": _LOCATION,
        },
        201: {**_VERSION, "description": "The new version.", "headers": _LOCATION},
        **documented(401, 404, 409, 413, 415, 422),
    },
    openapi_extra=request_body(RegistrationRequest, examples.REGISTRATIONS),
)
async def register(running: Running, owner: Owner, request: Request) -> Response:
    """Make the fit of a job the next version of a model, which begins with the first of them.

    A version never changes. It has parameters and spec of its own, and outlives its job and its dataset. The same job
    under the same name again gives the version that it already is; its aliases are moved as asked.
    """
    body = await json_body(request, max_bytes=running.settings.limits.max_body_bytes)
    sent = await parsed(body, RegistrationRequest)
    asked = Registration(sent.name, sent.job, sent.aliases, sent.description, sent.metadata)
    view, created = await run_in_threadpool(_register, running, owner, asked)
    return json_response(view, 201 if created else 200, {"Location": view["links"]["self"]})


def _register(running: Context, owner: str, asked: Registration) -> tuple[dict[str, Any], bool]:
    new = _new_version(running, owner, asked)
    with running.database.write() as session:
        version, created = service.register(session, asked, new, owner=owner)
        return version_view(session, asked.name, version), created


def _new_version(running: Context, owner: str, asked: Registration) -> NewVersion | None:
    """Read what the job left; None where it is registered under this name, and may be deleted by now."""
    with running.database.read() as session:
        if service.registered(session, asked.name, asked.job_id, owner=owner) is not None:
            return None
        fit = fit_of(session, asked.job_id, owner=owner)
    return fit.version()


@router.get(
    "",
    operation_id="list_models",
    summary="List models, newest first",
    responses={200: {"model": ModelList}, **documented(401, 422)},
)
def list_models(
    running: Running,
    owner: Owner,
    *,
    limit: Annotated[int, Query(ge=1, le=100, description="Models in one page.")] = 20,
    after: Annotated[str | None, Query(description="`next_after` of the page before.")] = None,
) -> Response:
    """List the names under which fits are registered, those first used last first."""
    with running.database.read() as session:
        found, has_more = service.list_models(session, owner=owner, limit=limit, after=after)
        data = model_views(session, found)
    return listed(data, has_more=has_more, by="name")


@router.get(
    "/{name}",
    operation_id="get_model",
    summary="Get a model",
    responses={200: _MODEL, **documented(401, 404)},
)
def get(running: Running, owner: Owner, name: str) -> Response:
    """Tell how many versions a model has, and where its aliases point."""
    with running.database.read() as session:
        view = model_view(session, service.get(session, name, owner=owner))
    return json_response(view)


@router.delete(
    "/{name}",
    operation_id="delete_model",
    summary="Delete a model without aliases",
    status_code=204,
    responses={204: {"description": "The model and its versions are gone."}, **documented(401, 404, 409)},
)
def delete(running: Running, owner: Owner, name: str) -> Response:
    """Remove a model with all of its versions; the jobs that trained them stay as they are."""
    with running.database.write() as session:
        service.delete_model(session, name, owner=owner)
    return Response(status_code=204)


@router.get(
    "/{name}/versions",
    operation_id="list_model_versions",
    summary="List the versions of a model, newest first",
    responses={200: {"model": ModelVersionList}, **documented(401, 404, 422)},
)
def list_versions(
    running: Running,
    owner: Owner,
    name: str,
    *,
    limit: Annotated[int, Query(ge=1, le=100, description="Versions in one page.")] = 20,
    after: Annotated[str | None, Query(description="`next_after` of the page before.")] = None,
) -> Response:
    """List versions by cursor, so that new ones do not shift the pages."""
    with running.database.read() as session:
        model = service.get(session, name, owner=owner)
        found, has_more = service.list_versions(session, model, limit=limit, after=after)
        sizes = repository.spec_sizes(session, {version.digest for version in found})
        shown = fitting(found, sizes, by=lambda version: version.digest) if found else found
        data = version_views(session, name, shown)
    return listed(data, has_more=has_more or len(data) < len(found), by="version")


@router.get(
    "/{name}/versions/{version}",
    operation_id="get_model_version",
    summary="Get a version of a model",
    responses={200: _VERSION, **documented(401, 404, 422)},
)
def get_version(running: Running, owner: Owner, name: str, version: Version) -> Response:
    """Describe a version: its columns, its result and its lineage."""
    with running.database.read() as session:
        found = service.find_version(session, name, version=version, owner=owner)
        view = version_view(session, name, found)
    return json_response(view)


@router.delete(
    "/{name}/versions/{version}",
    operation_id="delete_model_version",
    summary="Delete a version that no alias points to",
    status_code=204,
    responses={204: {"description": "The version is gone."}, **documented(401, 404, 409, 422)},
)
def delete_version(running: Running, owner: Owner, name: str, version: Version) -> Response:
    """Remove a version; its number is not given again."""
    with running.database.write() as session:
        service.delete_version(session, name, version, owner=owner)
    return Response(status_code=204)


@router.put(
    "/{name}/aliases/{alias}",
    operation_id="move_model_alias",
    summary="Let an alias point to a version",
    responses={200: _MODEL, **documented(401, 404, 413, 415, 422)},
    openapi_extra=request_body(AliasRequest, examples.ALIASES),
)
async def move_alias(
    running: Running,
    owner: Owner,
    request: Request,
    name: str,
    alias: Annotated[str, Path(pattern=ALIAS, description="Any word but `latest`.")],
) -> Response:
    """Make an alias, or move it at once from where it points: promotion, and the way back, is this one call."""
    if alias == LATEST:
        hint = "`latest` always stands for the newest version: choose another word."
        message = "`latest` cannot be an alias."
        raise InvalidRequest([Problem(None, "reserved_name", message, hint, "alias")])
    body = await json_body(request, max_bytes=running.settings.limits.max_body_bytes)
    asked = await parsed(body, AliasRequest)
    return await run_in_threadpool(_move_alias, running, owner, name, alias, str(asked.version))


def _move_alias(running: Context, owner: str, name: str, alias: str, version: str) -> Response:
    with running.database.write() as session:
        model = service.move_alias(session, name, alias, version=version, owner=owner)
        view = model_view(session, model)
    return json_response(view)


@router.delete(
    "/{name}/aliases/{alias}",
    operation_id="delete_model_alias",
    summary="Remove an alias",
    status_code=204,
    responses={204: {"description": "The alias is gone; the version stays."}, **documented(401, 404)},
)
def delete_alias(running: Running, owner: Owner, name: str, alias: str) -> Response:
    """Remove an alias of a model."""
    with running.database.write() as session:
        service.delete_alias(session, name, alias, owner=owner)
    return Response(status_code=204)


@router.post(
    "/{name}/predict",
    operation_id="predict_with_model",
    summary="Predict rows with a registered model",
    responses={
        200: {
            "model": Prediction,
            "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in FILES},
            "description": "The predictions.",
            "headers": {
                MODEL_VERSION: {
                    "schema": {"type": "integer"},
                    "description": "Number of the version that predicted.",
                }
            },
        },
        **documented(401, 404, 406, 413, 415, 422),
    },
    openapi_extra=request_body(PredictionRequest, examples.PREDICTIONS, others=FILES),
)
async def predict(
    running: Running,
    owner: Owner,
    request: Request,
    name: str,
    *,
    version: Annotated[
        str | None,
        Query(
            max_length=64,
            description="A number, an alias, or `latest`; left out: `champion` where there is one, else the newest.",
        ),
    ] = None,
    accept: Accept = None,
) -> Response:
    """Predict the target for each row, as with a job; the answer tells which version it is from."""
    asked = await asked_of(request, accept, limits=running.settings.limits)
    return await run_in_threadpool(_predict, running, owner, name, version, asked)


def _predict(running: Context, owner: str, name: str, version: str | None, asked: Asked) -> Response:
    from service.inference.grouped import predictor_of

    with running.database.read() as session:
        found = service.find_version(session, name, version=version, owner=owner)

        def build() -> Any:  # noqa: ANN401 - of either kind
            artifact = service.artifact_of(session, found)
            return predictor_of(JobSpec.from_text(artifact.spec_text), artifact.parameters)

        # Versions of one digest predict the same.
        predictor = running.predictors.get(found.digest, build)
    told = {"job_id": found.job_id, "model": name, "version": found.number, "model_id": found.id}
    return answered(asked, predictor, Source(told, {MODEL_VERSION: str(found.number)}))
