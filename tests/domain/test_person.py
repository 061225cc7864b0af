from __future__ import annotations

from domain.person import People, Person


def person(id_: str, *, manager: str | None = None, team: str | None = None) -> Person:
    return Person(id=id_, name=id_.title(), email=f"{id_}@example.com", manager=manager, team=team)


PEOPLE = People.of(
    [
        person("petra"),
        person("anna", manager="petra", team="zurich"),
        person("beat", manager="petra", team="zurich"),
        person("carl", manager="anna", team="zurich"),
        person("dora", manager="gone", team="bern"),
    ]
)


def test_a_teams_lead_is_the_one_most_of_it_reports_to() -> None:
    assert PEOPLE.lead_of("carl") == PEOPLE.get("petra")


def test_without_a_lead_the_manager_stands_in_and_without_either_nobody() -> None:
    solo = People.of([person("anna"), person("beat", manager="anna")])
    assert solo.lead_of("beat") == solo.get("anna")
    assert PEOPLE.lead_of("dora") is None
    assert PEOPLE.lead_of(None) is None


def test_a_manager_who_left_is_nobody() -> None:
    assert PEOPLE.manager_of("dora") is None
    assert PEOPLE.manager_of("anna") == PEOPLE.get("petra")


def test_a_team_is_listed_in_order_and_addresses_are_found_in_any_case() -> None:
    assert [p.id for p in PEOPLE.team("zurich")] == ["anna", "beat", "carl"]
    assert PEOPLE.by_email("Anna@Example.COM") == PEOPLE.get("anna")
    assert PEOPLE.by_email("nobody@example.com") is None
