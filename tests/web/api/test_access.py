from __future__ import annotations

from tests.web.api.office import Api


def test_without_a_token_nobody_gets_in_and_is_told_how(api: Api) -> None:
    answer = api.nobody.get("/openapi.json")
    assert answer.status_code == 200
