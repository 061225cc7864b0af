"""Each request has a name and leaves a line in the log, a figure, and a trace where traces are kept."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.watch import Watch

log = logging.getLogger("relance.requests")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER, NO_ROUTE = "OTHER", "-"  # what strangers make up must not become labels
ROUTINE = frozenset({"/healthz", "/readyz", "/metrics", "/static/page.css", "/static/icon.svg"})  # nobody wants to read


class Observed:
    """The outermost of what is around the pages. Routes find the request's name as `request.state.trace`.

    Whoever finds out who calls puts it into `request.state.source`. A path is never logged: it may be a credential.
    """

    def __init__(self, app: ASGIApp, *, watch: Watch) -> None:
        self.app = app
        self.watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        trace = trace_of(scope)
        scope.setdefault("state", {})["trace"] = trace
        status, begun = 500, time.perf_counter()

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self.watch.span("request", traces=[trace]) as facts:
            try:
                await self.app(scope, receive, answering)
            finally:
                method, route = _method(scope), _route(scope)
                duration_s = time.perf_counter() - begun
                facts |= {"http.request.method": method, "http.route": route, "http.response.status_code": status}
                self.watch.answered(method=method, route=route, status=status, duration_s=duration_s)
                level = logging.DEBUG if route in ROUTINE and status < 500 else logging.INFO
                log.log(level, "%s %s %d", method, route, status, extra=_ids(scope, duration_s))


def trace_of(scope: Scope) -> str:
    """The caller's, of a W3C `traceparent`, or a new one."""
    parts = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1").split("-")
    given = len(parts) == 4 and len(parts[1]) == 32 and all(c in "0123456789abcdef" for c in parts[1])
    return parts[1] if given and int(parts[1], 16) else secrets.token_hex(16)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else OTHER


def _route(scope: Scope) -> str:
    """Names instead of values: "/api/v1/records/{kind}/{id}"."""
    route = scope.get("route")
    return f"{scope.get('root_path', '')}{route.path_format}" if isinstance(route, APIRoute) else NO_ROUTE


def _ids(scope: Scope, duration_s: float) -> dict[str, Any]:
    return {
        "duration_ms": round(duration_s * 1000),
        "source": scope["state"].get("source"),
        "trace": scope["state"]["trace"],
    }
