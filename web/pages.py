"""Templates to answers. Everything is escaped, and texts of customers never become templates."""

from __future__ import annotations

from functools import lru_cache

from fastapi.responses import HTMLResponse
from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from web.words import Reader


@lru_cache(maxsize=1)
def environment() -> SandboxedEnvironment:
    return SandboxedEnvironment(
        loader=PackageLoader("web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def page(template: str, reader: Reader, *, status: int = 200, **values: object) -> HTMLResponse:
    html = environment().get_template(f"{template}.html.j2").render(reader=reader, say=reader.say, **values)
    return HTMLResponse(html, status_code=status)
