"""What an attacker would try with whatever text the API takes."""

from __future__ import annotations

import gzip

import pytest

from tests.story.relance import Mail
from tests.web.api.office import Api

NAME = "{{ 7*7 }}<script>alert(1)</script>{% for x in y %}${7*7}'; DROP TABLE records; --"
FIELDS = {"name": NAME, "owner": "seller", "city": NAME, "phone": NAME, "email": NAME}
EXPIRING = {"status": "active", "end_date": "2026-10-01", "auto_renews": False, "product": NAME, "annual_value": "9"}
DEPTH = 50_000


def reminded(api: Api) -> Mail:
    """A customer with a hostile name has a contract that ends."""
    assert api.admin.put("/records/customer/K1", json={"fields": FIELDS}).status_code == 201
    assert api.admin.put("/records/contract/C1", json={"customer": "K1", "fields": EXPIRING}).status_code == 201
    api.company.runs()
    (mail,) = api.company.mailbox("seller@example.com")
    return mail


def test_hostile_text_is_only_ever_text(api: Api) -> None:
    mail = reminded(api)

    html = mail.message.get_body(("html",)).get_content()  # pyright: ignore[reportOptionalMemberAccess]
    page = api.company.pages.get(api.company.address(mail, "done")).text
    assert NAME in mail.text
    for markup in (html, page):
        assert "<script>" not in markup
        assert "&lt;script&gt;" in markup
        assert "{{ 7*7 }}" in markup
        assert "49" not in markup

    dossier = api.sales.get("/customers/K1").json()
    assert NAME in str(dossier).replace("\\'", "'")
    assert api.sales.get("/customers", params={"search": NAME}).status_code == 200
    assert api.sales.get("/recommendations", params={"product": NAME}).json()["items"]
    assert api.sales.get("/recommendations", params={"team": NAME, "rule": NAME}).json()["items"] == []


def test_an_id_with_quotes_and_slashes_names_its_own_record_only(api: Api) -> None:
    for id_ in ("K1' OR '1'='1", "../../etc/passwd", "K%", "K_", "a/b", "..", "K1;--"):
        path = f"/records/customer/{id_.replace('%', '%25').replace('..', '%2E%2E')}"
        assert api.admin.put(path, json={"fields": {"name": id_}}).status_code == 201, id_
        assert api.admin.get(path).json()["fields"] == {"name": id_}
    assert api.admin.delete("/records/customer/K%25").status_code == 200
    assert api.admin.get("/records/customer/K_").status_code == 200


@pytest.mark.parametrize("body", [b"[" * DEPTH, b'{"fields":' * DEPTH, b'{"fields": {"name": %s}}' % (b"1" * DEPTH)])
def test_json_bombs_are_refused_with_a_reason(sqlite_api: Api, body: bytes) -> None:
    answer = sqlite_api.admin.put("/records/customer/K1", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_packed_body_is_not_unpacked(sqlite_api: Api) -> None:
    bomb = gzip.compress(b"\n" * 50_000_000)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"}
    assert sqlite_api.admin.post("/batches", content=bomb, headers=headers).status_code == 415


YAML_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)},*{chr(97 + n)},*{chr(97 + n)},*{chr(97 + n)}]\n"
    for n in range(12)
)


@pytest.mark.parametrize(
    "text", [YAML_BOMB, "[" * DEPTH, "!!python/object/apply:os.system ['true']", "\x00", "rule: " + "x" * 900_000]
)
def test_a_rule_file_that_is_a_bomb_gives_findings(sqlite_api: Api, text: str) -> None:
    answer = sqlite_api.admin.post("/rules/check", json={"files": [{"name": "../../bomb.yaml", "text": text}]})
    assert answer.status_code in (200, 422), answer.text
    assert answer.json().get("findings") or answer.json()["detail"]
