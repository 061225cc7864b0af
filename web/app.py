"""The web application: the API, the pages behind links, buttons in chats, the stylesheet, health and figures."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import FileResponse

from web import actions, chat, oidc, signing_in, trouble, vitals, wishes
from web.api import problems
from web.api.app import PREFIX, create_api
from web.api.problems import Problem
from web.headers import SecurityHeaders
from web.observed import Observed
from web.security import public
from web.services import Services

STATIC = Path(__file__).parent / "static"

router = APIRouter(dependencies=[Depends(public)])


@router.api_route("/static/page.css", methods=["GET", "HEAD"])
def stylesheet() -> FileResponse:
    return FileResponse(STATIC / "page.css")


@router.api_route("/static/icon.svg", methods=["GET", "HEAD"])
def icon() -> FileResponse:
    return FileResponse(STATIC / "icon.svg")


def create_app(services: Services) -> FastAPI:
    app = FastAPI(title="Relance", openapi_url=None)
    app.state.services = services
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Observed, watch=services.watch)
    trouble.install(app)
    app.add_exception_handler(Problem, problems.on_problem)
    app.include_router(vitals.router)
    app.include_router(router)
    app.include_router(actions.router)
    app.include_router(wishes.router)
    app.include_router(signing_in.router)
    if services.provider:
        app.include_router(oidc.router)
    if services.slack_signing_secret:
        app.include_router(chat.slack)
    if services.mattermost_keys:
        app.include_router(chat.mattermost)
    app.mount(PREFIX, create_api(services))
    return app
