"""The web application: the API, the pages behind links, buttons in chats, the stylesheet, and a health check."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse

from store import people
from store.session import StoreUnavailable
from web import actions, chat, trouble, wishes
from web.api.app import PREFIX, create_api
from web.headers import SecurityHeaders
from web.security import public
from web.services import Services, services_of

STATIC = Path(__file__).parent / "static"

router = APIRouter(dependencies=[Depends(public)])


@router.api_route("/static/page.css", methods=["GET", "HEAD"])
def stylesheet() -> FileResponse:
    return FileResponse(STATIC / "page.css")


@router.api_route("/static/icon.svg", methods=["GET", "HEAD"])
def icon() -> FileResponse:
    return FileResponse(STATIC / "icon.svg")


@router.api_route("/healthz", methods=["GET", "HEAD"])
def health(request: Request) -> JSONResponse:
    try:
        people.load(services_of(request).db)
    except StoreUnavailable:
        return JSONResponse({"status": "the store cannot be reached"}, status_code=503)
    return JSONResponse({"status": "ok"})


def create_app(services: Services) -> FastAPI:
    app = FastAPI(title="Relance", openapi_url=None)
    app.state.services = services
    app.add_middleware(SecurityHeaders)
    trouble.install(app)
    app.include_router(router)
    app.include_router(actions.router)
    app.include_router(wishes.router)
    if services.slack_signing_secret:
        app.include_router(chat.slack)
    if services.mattermost_keys:
        app.include_router(chat.mattermost)
    app.mount(PREFIX, create_api(services))
    return app
