"""What watches over the service sees whether it lives, whether it can work, and how far behind it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, text

from app.metrics import Figures, Span, no_span
from app.tracing import exporting
from domain.access import Permission, Role
from store import chain
from store.session import Database
from store.tables import subscriptions
from tests.story.relance import TestClient, contract, customer
from tests.web.api.office import Api
from web.app import create_app
from web.vitals import TICK_LATE, create_vitals

DOCS = Path(__file__).parents[3] / "docs"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
BROKEN = {
    "id": "sub_1",
    "owner": "u1",
    "url": "https://x.example",
    "description": "",
    **dict.fromkeys(("types", "tags", "teams", "products", "secrets"), "[]"),
    "envelope": "standard",
    "signing": "v1",
    "ordered": False,
    "failures": 9,
}


@contextmanager
def watched(api: Api, span: Span = no_span) -> Iterator[Figures]:
    """The company's service and worker, with figures of everything they do."""
    company = api.company
    figures = Figures(company.db, rulebase=company.house.base.hash, clock=lambda: company.now, span=span)
    company.house = replace(company.house, figures=figures)
    company.worker = company.house.worker(now=company.now)
    services = replace(company.house.services(beside_worker=True), clock=lambda: company.now)
    with TestClient(create_app(services), base_url="http://testserver") as company.pages:
        yield figures


def figures_of(page: str) -> dict[str, float]:
    """Each figure by its name and labels."""
    return {
        sample.name + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def scraped(api: Api) -> dict[str, float]:
    token = api.as_(Role.ADMIN, scopes=frozenset({Permission.METRICS_READ})).token
    answer = api.company.pages.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return figures_of(answer.text)


def test_the_figures_tell_how_far_behind_everything_is_and_what_was_done(api: Api) -> None:
    company = api.company.at("2026-10-09")
    with watched(api):
        company.has(customer("K1"), contract("C1", ends="2027-01-07"))
        with company.db.begin() as connection:
            row = BROKEN | {"created_at": company.now, "open_until": company.now + timedelta(hours=1)}
            connection.execute(insert(subscriptions), row)
        company.now += timedelta(seconds=90)
        found = scraped(api)
        assert found["relance_store_up"] == 1
        assert (found["relance_customers_due"], found["relance_due_lag_seconds"]) == (1, 90)
        assert found["relance_audit_unsealed_seconds"] > 90
        assert found["relance_webhook_breaker_open subscription=sub_1"] == 1

        company.worker.evaluate(now=company.now)
        company.now += timedelta(seconds=30)
        found = scraped(api)
        assert (found["relance_customers_due"], found["relance_due_lag_seconds"]) == (0, 0)
        assert found["relance_evaluations_total outcome=decided"] == 1
        assert found["relance_deliveries state=queued"] == 1
        assert found["relance_delivery_age_seconds state=queued"] == 120  # since it was written
        assert found["relance_webhook_deliveries"] == 1
        assert found["relance_webhook_delivery_age_seconds"] == 120

        company.post.hangs_up_after_the_dot = True
        company.runs()
        assert company.worker.ledger is not None
        company.worker.ledger.sweep(company.now)
        found = scraped(api)
        assert found["relance_deliveries state=queued"] == 0
        assert found["relance_deliveries state=unknown"] == 1
        assert found["relance_sends_total channel=email outcome=unknown"] == 1
        assert found["relance_audit_unsealed_seconds"] == 0
        route = "relance_http_request_duration_seconds_count method=GET route=/metrics status=200"
        assert found[route] == 2
        (build,) = (name for name in found if name.startswith("relance_build_info"))
        assert company.house.base.hash in build


def test_only_who_may_read_them_sees_the_figures(api: Api) -> None:
    with watched(api):
        assert api.company.pages.get("/metrics").status_code == 401
        refused = api.company.pages.get("/metrics", headers={"Authorization": f"Bearer {api.sales.token}"})
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"
        api.company.pages.get("/r/not-a-link")
        api.company.pages.get("/nothing/here")
        api.company.pages.request("BREW", "/metrics")
        api.sales.get("/customers/none")
        labels = {name for name in scraped(api) if name.startswith("relance_http_request_duration_seconds_count")}
        assert {name.partition(" method=")[2] for name in labels} >= {
            "GET route=/r/{token} status=404",
            "GET route=- status=404",
            "OTHER route=/metrics status=405",
            "GET route=/api/v1/customers/{id} status=404",
        }


def test_the_process_lives_without_a_database_and_is_ready_only_with_all_it_needs(api: Api) -> None:
    with watched(api) as figures:
        pages = api.company.pages
        late = "it has not looked for customers for 60 seconds"
        assert pages.get("/healthz").json() == {"status": "ok"}
        waits = pages.get("/readyz")
        assert (waits.status_code, waits.json()["checks"]["worker"]) == (503, late)
        api.company.runs()
        assert pages.get("/readyz").json() == {
            "status": "ready",
            "checks": {"database": "ok", "schema": "ok", "worker": "ok"},
        }
        api.company.now += TICK_LATE * 2
        assert pages.get("/readyz").json()["checks"]["worker"] == late
        figures.ticked()
        with api.company.db.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        assert pages.get("/readyz").json() == {
            "status": "not ready",
            "checks": {
                "database": "ok",
                "schema": "it is not the one this version needs; run: relance db upgrade",
                "worker": "ok",
            },
        }


def test_without_a_database_that_is_what_it_says(api: Api) -> None:
    lost = Database.connect("sqlite:////no/such/folder/relance.db")
    services = replace(api.company.house.services(), db=lost)
    figures = Figures(lost, rulebase="x", clock=lambda: api.company.now)
    with lost, TestClient(create_vitals(services)) as pages:
        assert pages.get("/healthz").status_code == 200
        answer = pages.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]) == (
            503,
            {"database": "it cannot be reached; the log says why"},
        )
        assert pages.get("/metrics", headers={"Authorization": "Bearer rel_x"}).status_code == 503
        assert figures_of(figures.page().decode())["relance_store_up"] == 0


def test_each_figure_that_alerts_and_documents_name_is_there(api: Api) -> None:
    alerts = (DOCS / "alerts.yaml").read_text()
    rules = [rule for group in yaml.safe_load(alerts)["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"\brelance_\w+", rule["expr"])}
    operations = (DOCS / "operations.md").read_text()
    named = set(re.findall(r"`(relance_\w+)`", operations))
    with watched(api) as figures:
        figures.sent("email", "unknown")
        figures.evaluated(decided=1, failed=0)
        figures.posted("failed")
        figures.answered(method="GET", route="/", status=500, duration_s=1.0)
        families = list(text_string_to_metric_families(figures.page().decode()))
    there = {sample.name for family in families for sample in family.samples}
    there |= {family.name for family in families}  # those without a sample yet, and histograms as a whole
    assert asked | named <= there
    for rule in rules:
        assert rule["alert"] in operations
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_an_upsert_and_the_mail_that_comes_of_it_are_one_trace_in_logs_audit_and_spans(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="relance")
    exporter = InMemorySpanExporter()
    company = api.company.at("2026-10-09")
    company.has(customer("K1"))
    company.runs()
    caplog.clear()
    with exporting(SimpleSpanProcessor(exporter)) as span, watched(api, span):
        fields = {"status": "active", "end_date": "2027-01-07", "auto_renews": False}
        body = {"customer": "K1", "fields": fields}
        assert api.integrator.put("/records/contract/C1", json=body, headers=TRACED).status_code in (200, 201)
        company.runs()
        spans = exporter.get_finished_spans()

    told = {(record.name, record.getMessage().split()[0]): record for record in caplog.records}
    request, evaluated, sent = (
        told[name]
        for name in (("relance.requests", "PUT"), ("relance.evaluate", "evaluated"), ("relance.dispatch", "sent"))
    )
    assert {record.__dict__["trace"] for record in (request, evaluated, sent)} == {TRACE}
    assert request.getMessage() == "PUT /api/v1/records/{kind}/{id} 201"
    assert request.__dict__["source"].startswith("token:")
    assert evaluated.__dict__["customer"] == "K1"
    assert evaluated.__dict__["raised"] == [company.recommendation().id]
    assert sent.__dict__["recommendation"] == company.recommendation().id
    assert {span.name: f"{span.context.trace_id:032x}" for span in spans if span.context} == dict.fromkeys(
        ("request", "evaluate", "send"), TRACE
    )
    (asked,) = (span for span in spans if span.name == "request")
    assert asked.attributes is not None
    assert asked.attributes["http.route"] == "/api/v1/records/{kind}/{id}"
    (entry,) = api.admin.get("/audit", params={"kind": "contract"}).json()["items"]
    assert entry["trace"] == TRACE
    assert chain.seal(company.db) > 0
