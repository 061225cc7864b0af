"""The API put together: an application of its own under /api/v1, with its own errors and its own OpenAPI."""

from __future__ import annotations

import secrets
from typing import Any, cast

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from web.api import problems
from web.api.access import Requires
from web.api.problems import Kind, ProblemBody
from web.security import public
from web.services import Services

PREFIX = "/api/v1"
TITLE = "Relance"
VERSION = "1"
SUMMARY = "Every touchpoint in, every action out."

# Every route that asks for a permission can be answered so, whatever it does.
ALWAYS = problems.answers(Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.TOO_LARGE, Kind.INVALID, Kind.TOO_MANY, Kind.BUSY)

meta = APIRouter(tags=["meta"], dependencies=[Depends(public)])

ROUTERS: tuple[APIRouter, ...] = (meta,)


def create_api(services: Services) -> FastAPI:
    api = FastAPI(title=TITLE, version=VERSION, openapi_url=None, docs_url=None, redoc_url=None)
    api.state.services = services
    api.add_middleware(Traced)
    problems.install(api)
    for router in ROUTERS:
        api.include_router(router)
    api.openapi = lambda: openapi(api)
    return api


class Traced:
    """Gives each request an id that logs and audit name: the caller's, of a W3C `traceparent`, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            parts = headers.get(b"traceparent", b"").decode("latin-1").split("-")
            given = len(parts) == 4 and len(parts[1]) == 32 and all(c in "0123456789abcdef" for c in parts[1])
            scope.setdefault("state", {})["trace"] = parts[1] if given else secrets.token_hex(16)
        await self.app(scope, receive, send)


# --- OpenAPI ---


def openapi(api: FastAPI) -> dict[str, Any]:
    """The document, complete: who may use each route, and every way in which it refuses."""
    if api.openapi_schema is None:
        schema = get_openapi(title=api.title, version=api.version, routes=api.routes, summary=SUMMARY)
        schema["servers"] = [{"url": PREFIX}]
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["ProblemBody"] = ProblemBody.model_json_schema()
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "An API token, rel_..."},
        }
        for route in api.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                _complete(schema["paths"][route.path_format], route)
        api.openapi_schema = schema
    return api.openapi_schema


def _complete(path: dict[str, Any], route: APIRoute) -> None:
    permission = permission_of(route)
    for method in route.methods or ():
        operation = cast("dict[str, Any]", path[method.lower()])
        operation["responses"].pop("422", None)  # the framework's own form of it
        operation["responses"] |= {str(k): v for k, v in route.responses.items() if k == 422}
        if permission is not None:
            operation["security"] = [{"token": []}]
            operation["x-permission"] = permission
            for status, answer in ALWAYS.items():
                operation["responses"].setdefault(str(status), answer)


def permission_of(route: APIRoute) -> str | None:
    """What a route asks for; None: anybody may use it."""
    calls = [dependency.call for dependency in route.dependant.dependencies]
    return next((call.permission.value for call in calls if isinstance(call, Requires)), None)


@meta.get("/openapi.json", include_in_schema=False)
def document(request: Request) -> dict[str, Any]:
    return request.app.openapi()
