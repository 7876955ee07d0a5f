"""Query parameters: none is ignored in silence."""

from fastapi import Request
from fastapi.routing import APIRoute

from service.exceptions import InvalidRequest, Problem
from service.spec.columns import did_you_mean

__all__ = ["no_unknown_parameters"]


async def no_unknown_parameters(request: Request) -> None:
    """Refuse a query parameter that the endpoint does not have: a typing error would otherwise go unnoticed.

    Raises:
        InvalidRequest: With each unknown parameter, and the one that may have been meant.
    """
    route: APIRoute = request.scope["route"]
    known = [field.alias for field in route.dependant.query_params]
    takes_metadata = any(
        one["name"] == "metadata" for one in (route.openapi_extra or {}).get("parameters", [])
    )
    problems = [
        Problem(
            None,
            "unknown_parameter",
            f"There is no parameter `{name[:80]}` here.",
            _hint(name, known),
            name[:80],
        )
        for name in request.query_params
        if name not in known and not (takes_metadata and name.startswith("metadata"))
    ]
    if problems:
        raise InvalidRequest(problems)


def _hint(name: str, known: list[str]) -> str:
    return did_you_mean(name, known) or "This path takes no parameters."
