"""The maps that come along read what Salesforce and HubSpot export, in their own column names."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence

import pytest

from app.importing import Counts, ImportReport, import_file
from domain.person import Person
from domain.record import Record
from rules import loader, mapping
from rules.rulebase import RuleBase
from tests.app.conftest import Terminal


class Kept:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.entities: list[Record | Person] = []

    def write(self, records: Sequence[Record], persons: Sequence[Person]) -> Counts:
        self.entities += [*records, *persons]
        return Counter()


@pytest.fixture(scope="module")
def base() -> RuleBase:
    return loader.load(["base"])


def imported(base: RuleBase, map_: str, text: str) -> tuple[list[Record | Person], ImportReport]:
    kept = Kept()
    loaded = mapping.load(mapping.find(map_), base.model)
    report = import_file(io.BytesIO(text.strip().encode()), name="export", map_=loaded, sink=kept)
    return kept.entities, report


def record(kind: str, id_: str, customer: str | None, **fields: str) -> Record:
    return Record(kind=kind, id=id_, customer=customer, fields=fields)


ACCOUNTS = """
"Id","Name","Type","Industry","BillingCity","BillingCountry","Phone","OwnerId","AnnualRevenue"
"0015g00000A1","Muster Logistik AG","Prospect","Telecommunications","Zürich","CH","+41 44 1","0055g01",""
"0015g00000A2","Beispiel, Inc.","Prospect","Apparel","","","","0055g02","1000000"
"""
USERS = """
Id,Name,Email,ManagerId,TimeZoneSidKey,LanguageLocaleKey,IsActive
0055g01,Lena Steiner,lena@example.com,0055g02,Europe/Zurich,de,true
0055g02,Petra Boss,petra@example.com,,America/New_York,en_US,true
0055g03,Gone Away,gone@example.com,,Europe/Zurich,de,false
"""
OPPORTUNITIES = """
Id,AccountId,Name,StageName,Amount,CloseDate,CreatedDate,OwnerId,Type,IsClosed,IsWon
0065g1,0015g00000A1,A,Proposal/Price Quote,48200.5,2026-12-31,2026-08-01T09:30:00.000Z,0055g01,New Customer,false,false
0065g2,0015g00000A1,B,Closed Won,9,2026-07-31,2026-05-01T09:30:00.000+0000,0055g01,Existing Customer - Upgrade,true,true
0065g3,0015g00000A1,Own stage,Legal Review,100,2026-07-31,2026-05-01T09:30:00.000Z,0055g01,,false,false
"""
CONTRACTS = """
Id,ContractNumber,AccountId,Status,StartDate,EndDate,ContractTerm,OwnerId
8005g1,00000100,0015g00000A1,Activated,2026-01-08,2027-01-07,12,0055g01
8005g2,00000101,0015g00000A2,In Approval Process,2026-09-01,,24,0055g02
"""
CASES = """
Id,CaseNumber,AccountId,Subject,Status,Priority,Origin,CreatedDate,ClosedDate,OwnerId
5005g1,00001026,0015g00000A1,Late again,Escalated,High,Web,2026-08-30T07:15:00.000Z,,0055g01
5005g2,00001027,,Thanks,Closed,Low,Email,2026-08-01T07:15:00.000Z,2026-08-02T08:00:00.000Z,0055g01
"""
COMPANIES = {
    "id": "9001",
    "properties": {
        "name": "Muster Logistik AG",
        "hubspot_owner_id": "41629779",
        "industry": "LOGISTICS_AND_SUPPLY_CHAIN",
        "city": "Zürich",
        "phone": None,
        "hs_object_id": "9001",
    },
    "createdAt": "2026-01-30T03:30:17.883Z",
    "archived": False,
}
DEAL = {
    "id": "7001",
    "properties": {
        "dealname": "Fleet 2027",
        "dealstage": "closedlost",
        "dealtype": "existingbusiness",
        "amount": "1500.00",
        "createdate": "2026-05-01T16:50:06.678Z",
        "closedate": "2026-08-30T16:50:06.678Z",
        "hs_is_closed": "true",
        "hubspot_owner_id": "41629779",
        "hs_primary_associated_company": "9001",
    },
    "archived": False,
}
TICKET = {
    "id": "6001",
    "properties": {
        "subject": "Late again",
        "hs_pipeline": "0",
        "hs_pipeline_stage": "3",
        "hs_ticket_priority": "URGENT",
        "createdate": "2026-08-30T07:15:00Z",
        "closed_date": None,
        "hs_primary_company_id": "9001",
    },
}
OWNER = {
    "id": "41629779",
    "email": "lena@example.com",
    "firstName": "Lena",
    "lastName": "Steiner",
    "userId": 9586504,
    "archived": False,
    "teams": [{"id": "178588", "name": "East", "primary": True}],
}


def test_salesforce(base: RuleBase) -> None:
    accounts, report = imported(base, "salesforce-accounts", ACCOUNTS)
    muster = {"name": "Muster Logistik AG", "owner": "0055g01", "phone": "+41 44 1"}
    assert accounts == [
        record("customer", "0015g00000A1", None, **muster, city="Zürich", industry="telecom"),
        record("customer", "0015g00000A2", None, name="Beispiel, Inc.", owner="0055g02"),
    ]
    assert (report.rejected, report.warnings) == (0, 1)

    users, report = imported(base, "salesforce-users", USERS)
    assert users == [
        Person(
            id="0055g01",
            name="Lena Steiner",
            email="lena@example.com",
            manager="0055g02",
            timezone="Europe/Zurich",
            language="de",
        ),
        Person(id="0055g02", name="Petra Boss", email="petra@example.com", timezone="America/New_York", language="en"),
    ]

    opportunities, report = imported(base, "salesforce-opportunities", OPPORTUNITIES)
    assert opportunities == [
        record(
            "opportunity",
            "0065g1",
            "0015g00000A1",
            owner="0055g01",
            stage="proposal",
            type="new",
            amount="48200.5",
            opened_on="2026-08-01",
        ),
        record(
            "opportunity",
            "0065g2",
            "0015g00000A1",
            owner="0055g01",
            stage="won",
            type="upsell",
            amount="9",
            opened_on="2026-05-01",
            closed_on="2026-07-31",
        ),
    ]
    assert report.rejected == 1  # a stage of one's own is named, not guessed

    contracts, report = imported(base, "salesforce-contracts", CONTRACTS)
    assert contracts == [
        record("contract", "8005g1", "0015g00000A1", status="active", start_date="2026-01-08", end_date="2027-01-07"),
        record("contract", "8005g2", "0015g00000A2", status="draft", start_date="2026-09-01"),
    ]
    assert report.rejected == 0

    cases, report = imported(base, "salesforce-cases", CASES)
    assert [(case.id, case.customer, case.fields["status"], case.fields["severity"]) for case in cases] == [  # type: ignore[union-attr]
        ("5005g1", "0015g00000A1", "in_progress", "high"),
        ("5005g2", None, "closed", "low"),
    ]
    assert (report.rejected, report.warnings) == (0, 0)


def test_hubspot(base: RuleBase) -> None:
    (company,), report = imported(base, "hubspot-companies", json.dumps(COMPANIES))
    assert company == record("customer", "9001", None, name="Muster Logistik AG", owner="41629779", city="Zürich")
    assert report.rejected == 0
    (deal,), _ = imported(base, "hubspot-deals", json.dumps(DEAL))
    assert deal == record(
        "opportunity",
        "7001",
        "9001",
        owner="41629779",
        stage="lost",
        type="upsell",
        amount="1500",
        opened_on="2026-05-01",
        closed_on="2026-08-30",
    )
    (ticket,), _ = imported(base, "hubspot-tickets", json.dumps(TICKET))
    assert ticket == record(
        "complaint",
        "6001",
        "9001",
        status="in_progress",
        severity="high",
        subject="Late again",
        opened_at="2026-08-30T07:15:00+00:00",
    )
    (owner,), _ = imported(base, "hubspot-owners", json.dumps(OWNER))
    assert owner == Person(id="41629779", name="Lena Steiner", email="lena@example.com")
    nobody, _ = imported(base, "hubspot-owners", json.dumps(OWNER | {"archived": True}))
    assert nobody == []


def test_every_map_that_comes_along_fits_the_base_pack(base: RuleBase) -> None:
    assert len(mapping.shipped()) == 9
    for path in mapping.shipped().values():
        assert mapping.load(path, base.model).title


def test_import_takes_a_map_by_its_name_and_lists_them_where_there_is_none(relance: Terminal) -> None:
    relance("db", "upgrade")
    relance.writes("contracts.csv", CONTRACTS.strip())
    done = relance("import", "contracts.csv", "--map", "salesforce-contracts")
    assert (done.code, "contract: 2 new" in done.out) == (0, True)
    unknown = relance("import", "contracts.csv", "--map", "salesforce-contract")
    assert unknown.code == 2
    assert 'no file "salesforce-contract"' in unknown.err
    assert all(name in unknown.err for name in mapping.shipped())
