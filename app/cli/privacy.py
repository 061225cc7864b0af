"""`relance privacy`: what is kept about a customer or a person, and erasing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.privacy import Subject

privacy = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What is kept about a customer or a person, and erasing it."
)

Customer = Annotated[str | None, typer.Option(metavar="ID", help="A customer, by its id.")]
Person = Annotated[str | None, typer.Option(metavar="ID", help="One of the people, by their id.")]


@privacy.command()
def export(customer: Customer = None, person: Person = None) -> None:
    """Everything that is kept about somebody, as one JSON document."""
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from store import privacy as stored

    subject, settings = _subject(customer, person), load_settings()
    with open_store(settings) as store:
        found = stored.export(store, subject, keys=settings.keys())
    if found is None:
        raise CommandError(f"nothing is kept about {subject}")
    print_json(
        {
            "of": subject.of.value,
            "id": subject.id,
            "exported_at": utc_now(),
            "erased_at": list(found.erased_at),
            "parts": found.parts,
        }
    )


@privacy.command()
def erase(
    customer: Customer = None,
    person: Person = None,
    reason: Annotated[str, typer.Option(help="Why. It stays in the audit, and should name nobody.")] = "not given",
    yes: Annotated[bool, typer.Option("--yes", help="Yes, erase it.")] = False,
) -> None:
    """Erase everything that is kept about somebody, for good.

    Without --yes it says what would go. What left before stays: in mailboxes, in chats and with subscribers.
    """
    from app.cli.users import SOURCE
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from store import erasure
    from store import privacy as stored

    subject, settings = _subject(customer, person), load_settings()
    with open_store(settings) as store:
        kept = stored.weigh(store, subject)
        if kept and not yes:
            raise CommandError(f"{subject}: {_counted(kept)} would be erased for good; add --yes", Exit.REFUSED)
        key, now = settings.keys()[0], utc_now()
        gone = erasure.erase(store, subject, reason=reason, source=SOURCE, key=key, now=now)
    if not gone:
        raise CommandError(f"nothing is kept about {subject}")
    say(f"{subject}: erased {_counted(gone)}")


def _subject(customer: str | None, person: str | None) -> Subject:
    from store.privacy import Of, Subject

    if customer is not None and person is None:
        return Subject(of=Of.CUSTOMER, id=customer)
    if person is not None and customer is None:
        return Subject(of=Of.PERSON, id=person)
    raise CommandError("name either --customer or --person")


def _counted(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in parts.items())
