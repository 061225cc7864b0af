"""`relance preview` and `relance send-test`: a message before anybody gets it, and the way it takes, tried out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, moment, note, say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from app.preview import About, Preview
    from app.settings import Settings
    from domain.delivery import Channel


class As(StrEnum):
    MAIL = "mail"
    SLACK = "slack"
    SLACK_WEBHOOK = "slack-webhook"
    TEAMS = "teams"
    MATTERMOST = "mattermost"


def preview(
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write: .html for the page, .txt for the text, .eml for the mail, .json for --as."
        ),
    ],
    rule: Annotated[str | None, typer.Argument(help="The rule's id.")] = None,
    customer: Annotated[str | None, typer.Option(help="The customer's id.")] = None,
    subject: Annotated[str | None, typer.Option(help="The record's id, where the customer has several.")] = None,
    as_: Annotated[As, typer.Option("--as", help="As a mail, or as what is posted to a chat.")] = As.MAIL,
    digest: Annotated[bool, typer.Option("--digest", help="What is open for a person, in one mail.")] = False,
    person: Annotated[str | None, typer.Option(help="With --digest: the person's id.")] = None,
    lang: Annotated[str | None, typer.Option(help="en, de, fr or it; the reader's own unless given.")] = None,
    at: Annotated[str | None, typer.Option(help="As of this moment; now unless given.")] = None,
) -> None:
    """Write the message that a rule would cause, or a digest.

    Nothing is sent and nothing is recorded. A chat need not be set up to see what would be posted there.
    """
    from app.preview import CHAT_FORMS, MAIL_FORMS, NothingToShow, preview_digest, preview_reminder, without_secrets
    from app.settings import load_settings
    from app.wiring import House, open_store, utc_now
    from domain.delivery import Channel

    chat = None if as_ is As.MAIL else as_
    if digest:
        strange = {"a rule": rule, "--customer": customer, "--subject": subject, "--as": chat}
        _refuse("--digest", "--person", {"--person": person}, strange)
    else:
        _refuse("a preview", "a rule and --customer", {"a rule": rule, "--customer": customer}, {"--person": person})
    forms = CHAT_FORMS if chat else MAIL_FORMS
    if out.suffix not in forms:
        raise CommandError(f"--out {out} should end in {_either(forms)}")
    now = moment(at, "--at") if at else utc_now()
    settings = load_settings()
    with open_store(settings) as store:
        house = House.build(without_secrets(settings), store)
        try:
            if digest:
                shown = preview_digest(house, person or "", language=lang, now=now)
            else:
                channel = Channel(chat) if chat else Channel.EMAIL
                shown = preview_reminder(
                    house, _about(rule, customer, subject), channel=channel, language=lang, now=now
                )
        except NothingToShow as reason:
            raise CommandError(str(reason)) from None
    try:
        out.write_bytes(shown.forms[out.suffix])
    except OSError as failure:
        raise CommandError(f"--out {out} cannot be written: {failure.strerror}") from None
    say(f"{shown.subject}\nto {shown.to}\nwritten to {out}")
    if not settings.secret_keys:
        note("There are no secret_keys: its links are signed with a key that stands for one, and open nothing.")
    _note_whether_it_holds(shown, rule)


def send_test(
    address: Annotated[str | None, typer.Argument(help="Whom the mail goes to.")] = None,
    chat: Annotated[
        str | None,
        typer.Option(metavar="CHAT:PLACE", help="A place in a chat instead, as in slack:U024BE7LH, teams:sales."),
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Send what this rule says, with --customer.")] = None,
    customer: Annotated[str | None, typer.Option(help="The customer's id.")] = None,
    subject: Annotated[str | None, typer.Option(help="The record's id, where the customer has several.")] = None,
    lang: Annotated[str | None, typer.Option(help="en, de, fr or it; en, or the reader's own, unless given.")] = None,
) -> None:
    """Send one real message, and print the server's answer.

    It says that it works, or what a rule says of a customer; [Test] stands before it. Nothing is recorded.
    Ends with 3 where the server cannot be reached, with 1 where it refuses.
    """
    from app.settings import load_settings
    from app.trial import TRIALS, hand_over, trial
    from app.wiring import utc_now
    from domain.delivery import Channel, SendError

    if (address is None) == (chat is None):
        raise CommandError("name one: an address for a mail, or --chat with a place, as in --chat slack:U024BE7LH")
    if rule is not None or customer is not None or subject is not None:
        _refuse("a test", "both --rule and --customer", {"--rule": rule, "--customer": customer}, {})
    settings, now = load_settings(), utc_now()
    channel, to = (Channel.EMAIL, _an_address(address)) if address is not None else _a_place(settings, chat or "")
    if rule is not None:
        message = _reminder(settings, channel, to, _about(rule, customer, subject), lang, now=now)
    else:
        if lang is not None and lang not in TRIALS:
            raise CommandError(f'--lang "{lang}" is none of: {", ".join(TRIALS)}')
        message = trial(settings, channel, to, language=lang or "en", now=now)
    try:
        done = hand_over(settings, channel, message.message)
    except SendError as failure:
        unanswered = failure.server_down or (failure.code is None and not failure.permanent)
        raise CommandError(str(failure), Exit.UNREACHABLE if unanswered else Exit.FINDINGS) from None
    by = settings.mail.server() if channel is Channel.EMAIL else channel
    say(f"{message.subject}\nto {message.to}, taken by {by} in {done.took_s:.2f} s")
    say(f"it said: {done.receipt.code} {done.receipt.text}")
    _note_whether_it_holds(message, rule)


def _reminder(
    settings: Settings, channel: Channel, to: str, about: About, language: str | None, *, now: datetime
) -> Preview:
    from app.preview import NothingToShow, preview_reminder
    from app.wiring import House, open_store

    with open_store(settings) as store:
        house = House.build(settings, store)
        try:
            return preview_reminder(house, about, channel=channel, to=to, language=language, now=now)
        except NothingToShow as reason:
            raise CommandError(str(reason)) from None


def _an_address(address: str) -> str:
    from notifiers.addresses import Refusal, deliverable

    verdict = deliverable(address)
    if isinstance(verdict, Refusal):
        raise CommandError(verdict.reason)
    return verdict


def _a_place(settings: Settings, chat: str) -> tuple[Channel, str]:
    from app.doctor import chat_problem
    from domain.delivery import Channel

    problem = chat_problem(settings, chat)
    if problem:
        raise CommandError(f"--chat {chat}: {problem}")
    kind, _, place = chat.partition(":")
    return Channel(kind), place


def _about(rule: str | None, customer: str | None, subject: str | None) -> About:
    from app.preview import About

    return About(rule=rule or "", customer=customer or "", subject=subject)


def _refuse(what: str, needs: str, needed: Mapping[str, str | None], strange: Mapping[str, str | None]) -> None:
    """Where one of the needed options is missing, or a strange one is given."""
    for name, value in strange.items():
        if value is not None:
            raise CommandError(f"{name} does not go with {what}: it takes {needs}")
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise CommandError(f"{what} needs {needs}; missing: {', '.join(missing)}")


def _either(words: tuple[str, ...]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _note_whether_it_holds(message: Preview, rule: str | None) -> None:
    if not message.holds:
        note(f"{rule} does not hold for this customer now: this is what it would say if it did.")
