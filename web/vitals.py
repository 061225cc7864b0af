"""Whether the service lives, whether it can work, and its figures: for whatever watches over it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from domain.access import Permission
from store.migrations import SchemaOutdated, check_schema
from store.session import StoreUnavailable
from web.api import problems
from web.api.access import Requires
from web.headers import SecurityHeaders
from web.observed import Observed
from web.security import public
from web.services import Services, services_of

log = logging.getLogger("relance.vitals")

TICK_LATE = timedelta(seconds=60)  # a worker that runs looks for customers several times a second
PROMETHEUS = "text/plain; version=1.0.0; charset=utf-8"

router = APIRouter()


def scraper(request: Request) -> None:
    """Whoever has a token with `metrics:read` may use the route. Raises `Problem`."""
    Requires(Permission.METRICS_READ)(request)


@router.api_route("/healthz", methods=["GET", "HEAD"], dependencies=[Depends(public)])
async def healthy() -> JSONResponse:
    """The process lives. It answers even while every thread waits for the database."""
    return JSONResponse({"status": "ok"})


@router.api_route("/readyz", methods=["GET", "HEAD"], dependencies=[Depends(public)])
def ready(request: Request) -> JSONResponse:
    """Each thing that has to be well, and why it is not."""
    checks = dict(_checks(services_of(request)))
    well = all(reason is None for reason in checks.values())
    body = {"status": "ready" if well else "not ready", "checks": {n: r or "ok" for n, r in checks.items()}}
    return JSONResponse(body, status_code=200 if well else 503)


@router.get("/metrics", dependencies=[Depends(scraper)])
def metrics(request: Request) -> Response:
    return Response(services_of(request).metrics(), media_type=PROMETHEUS)


def _checks(services: Services) -> Iterator[tuple[str, str | None]]:
    """Reasons say nothing that strangers should not know."""
    try:
        check_schema(services.db)
    except StoreUnavailable as failure:
        log.error("%s", failure)
        yield "database", "it cannot be reached; the log says why"
    except SchemaOutdated:
        yield from (("database", None), ("schema", "it is not the one this version needs; run: relance db upgrade"))
    else:
        yield from (("database", None), ("schema", None))
    if services.last_tick is not None:
        last = services.last_tick()
        late = last is None or services.clock() - last > TICK_LATE
        yield "worker", f"it has not looked for customers for {TICK_LATE.seconds} seconds" if late else None


def create_vitals(services: Services) -> FastAPI:
    """These alone: beside a worker that has no pages."""
    app = FastAPI(title="Relance", openapi_url=None)
    app.state.services = services
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Observed, watch=services.watch)
    problems.install(app)
    app.include_router(router)
    return app
