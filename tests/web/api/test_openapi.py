"""The description of the API: complete, right, and the same on every run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV31SpecValidator
from typer.testing import CliRunner

from app.cli import app
from domain.access import Permission
from web.api.access import Requires
from web.api.app import described_api, requires_of, routes_of
from web.api.problems import ABOUT, MEDIA_TYPE
from web.security import public

BATCH_ENDED = ("POST /batches", "503")  # it tells of each operation before the end
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return described_api().openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield f"{method.upper()} {path}", item[method]


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_operation_says_what_it_is_and_who_may_use_it(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids) > 30
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["tags"], name
        assert ("security" in operation) == ("401" in operation["responses"]), name
        assert operation.get("x-permission") in {None, *Permission}, name
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            if int(status) >= 400:
                assert MEDIA_TYPE in answer["content"] or (name, status) == BATCH_ENDED, (name, status)


def test_every_body_that_is_sent_has_an_example(document: dict[str, Any]) -> None:
    def has_example(schema: dict[str, Any]) -> bool:
        if "$ref" in schema:
            return has_example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        if schema.get("examples") or "example" in schema or "const" in schema or "enum" in schema:
            return True
        if parts := schema.get("anyOf") or schema.get("oneOf"):
            return any(map(has_example, parts))
        if "items" in schema:
            return has_example(schema["items"])
        if properties := schema.get("properties"):
            return any(map(has_example, properties.values()))
        return schema.get("type") in ("boolean", "null")

    for name, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            assert media.get("examples") or "example" in media or has_example(media.get("schema", {})), name


def test_every_problem_is_described_with_an_example(document: dict[str, Any]) -> None:
    problem = document["components"]["schemas"]["ProblemBody"]
    assert problem["examples"][0].keys() == problem["properties"].keys()
    assert "Fault" in document["components"]["schemas"]
    assert {about.status for about in ABOUT.values()} >= {
        int(status) for _, operation in operations(document) for status in operation["responses"] if int(status) >= 400
    }


def test_every_route_states_who_may_use_it() -> None:
    for route in routes_of(described_api()):
        assert isinstance(route, APIRoute)
        stated = [d.call for d in route.dependant.dependencies if d.call is public or isinstance(d.call, Requires)]
        asked = requires_of(route)
        assert stated or asked or not route.include_in_schema, f"{route.path} states nothing"


def test_the_command_prints_the_same_document_every_time_and_needs_no_database(
    document: dict[str, Any], tmp_path: Path
) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", "openapi"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    file = tmp_path / "api.json"
    assert CliRunner().invoke(app, ["openapi", "--out", str(file)]).exit_code == 0
    assert printed == file.read_bytes()
    assert json.loads(printed) == document
