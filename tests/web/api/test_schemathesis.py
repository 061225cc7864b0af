"""Everything the OpenAPI document allows and forbids is tried, by every role: no 5xx, nothing undocumented.

A few examples of each operation by two roles here; `RELANCE_EXAMPLES=100 pytest tests/web/api/test_schemathesis.py`
tries many, by all of them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from domain.access import Role
from tests.story.post_office import LOOPBACK
from tests.web.api.office import PREFIX, Api
from web.app import create_app

EXAMPLES = os.environ.get("RELANCE_EXAMPLES", "1")
ROLES = list(Role) if "RELANCE_EXAMPLES" in os.environ else [Role.ADMIN, Role.SALES]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection"
)
SETTINGS = """
[checks]
negative_data_rejection = { expected-statuses = [400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429] }
"""


@contextmanager
def served(api: Api) -> Generator[str]:
    """The company's API on a socket."""
    listener = socket.create_server((LOOPBACK, 0))
    services = api.company.house.services()
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}{PREFIX}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_as_documented(sqlite_api: Api, role: Role, tmp_path: Path) -> None:
    token = sqlite_api.as_(role).token
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    with served(sqlite_api) as url:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {token}"),
            *("--phases", "examples,fuzzing,stateful", "--max-examples", EXAMPLES, "--checks", CHECKS),
            *("--suppress-health-check", "all", "--no-color", "--seed", "7", "--warnings", "off"),
            *("--exclude-path", "/live"),  # never ends
        ]
        hooks = {"SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schemathesis_hooks.py"))}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | hooks, check=False
        )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
