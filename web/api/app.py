"""The API put together: an application of its own under /api/v1, with its own errors and its own OpenAPI."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from web.api import (
    audit,
    batches,
    customers,
    deliveries,
    figures,
    inbound,
    live,
    me,
    people,
    privacy,
    problems,
    recommendations,
    records,
    rules,
    schemas,
    subscriptions,
    tokens,
    users,
)
from web.api.access import Requires
from web.api.limits import Limits
from web.api.problems import Kind, ProblemBody
from web.security import public
from web.services import Services
from web.signed_in import COOKIE

PREFIX = "/api/v1"
TITLE = "Relance"
VERSION = "1"
SUMMARY = "Every touchpoint in, every action out."

# Every route that asks for a permission can be answered so, whatever it does.
ALWAYS = problems.answers(
    Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.TOO_LARGE, Kind.MEDIA, Kind.INVALID, Kind.TOO_MANY, Kind.BUSY
)

PROBLEMS: tuple[type[ProblemBody], ...] = (ProblemBody, recommendations.AlreadyClosed)

meta = APIRouter(tags=["meta"], dependencies=[Depends(public)])

ROUTERS: tuple[APIRouter, ...] = (
    meta,
    audit.router,
    me.router,
    tokens.router,
    users.router,
    records.router,
    batches.router,
    people.router,
    privacy.router,
    inbound.router,
    customers.router,
    recommendations.router,
    deliveries.router,
    rules.router,
    figures.router,
    live.router,
    subscriptions.router,
    schemas.router,
)


def create_api(services: Services) -> FastAPI:
    api = described_api()
    api.state.services = services
    api.state.feed = live.Feed(services)
    return api


def described_api() -> FastAPI:
    """All routes, and nothing behind them: enough to be described."""
    api = FastAPI(title=TITLE, version=VERSION, openapi_url=None, docs_url=None, redoc_url=None)
    api.add_middleware(Limits)
    problems.install(api)
    for router in ROUTERS:
        api.router.routes.extend(router.routes)  # flat: an included router is searched twice for each request
    api.openapi = lambda: openapi(api)
    return api


# --- OpenAPI ---


def openapi(api: FastAPI) -> dict[str, Any]:
    """The document, complete: who may use each route, and every way in which it refuses."""
    if api.openapi_schema is None:
        schema = get_openapi(title=api.title, version=api.version, routes=api.routes, summary=SUMMARY)
        schema["servers"] = [{"url": PREFIX}]
        components = schema.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for model in PROBLEMS:
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= described.pop("$defs", {}) | {model.__name__: described}
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "An API token, rel_..."},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Whoever is signed in."},
        }
        for route in routes_of(api):
            if route.include_in_schema:
                _complete(schema["paths"][route.path_format], route)
        api.openapi_schema = schema
    return api.openapi_schema


def _complete(path: dict[str, Any], route: APIRoute) -> None:
    asks = requires_of(route)
    for method in route.methods or ():
        operation = cast("dict[str, Any]", path[method.lower()])
        operation["responses"].pop("422", None)  # the framework's own form of it
        operation["responses"] |= {str(k): v for k, v in route.responses.items() if k == 422}
        if asks is not None:
            operation["security"] = [{"token": []}, {"session": []}]
            if asks.permission is not None:
                operation["x-permission"] = asks.permission.value
            for status, answer in ALWAYS.items():
                operation["responses"].setdefault(str(status), answer)


def routes_of(app: FastAPI) -> list[APIRoute]:
    """All routes, those of included routers too."""
    routes = (context.original_route for context in iter_route_contexts(app.routes))
    return [route for route in routes if isinstance(route, APIRoute)]


def requires_of(route: APIRoute) -> Requires | None:
    """What a route asks of its callers; None: anybody may use it."""
    calls = [dependency.call for dependency in route.dependant.dependencies]
    return next((call for call in calls if isinstance(call, Requires)), None)


@meta.get("/openapi.json", include_in_schema=False)
def document(request: Request) -> dict[str, Any]:
    return request.app.openapi()
