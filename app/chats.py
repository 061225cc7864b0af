"""The chats that the settings set up, each with how a reminder becomes a message there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from app.settings import Settings, SettingsError
from domain.delivery import Channel, Delivery, Reminder
from domain.person import People
from domain.recommendation import Recommendation
from scheduler.postman import Chat

if TYPE_CHECKING:
    from pydantic import SecretStr

    from notifiers.base import Notifier
    from notifiers.chat import Service


def chats(settings: Settings, *, language: str) -> dict[Channel, Chat]:
    """`language`: the company's, for readers without their own. Raises `SettingsError`."""
    return dict(_chats(settings, language))


def _chats(settings: Settings, language: str) -> Iterator[tuple[Channel, Chat]]:
    # Whoever has no chat need not wait for their libraries.
    if settings.slack.token is not None:
        yield Channel.SLACK, _slack(settings, settings.slack.token.get_secret_value(), language)
    if settings.slack.webhooks:
        from notifiers import slack

        post = _webhooks("slack", slack.WEBHOOKS, settings.slack.webhooks, settings)
        yield Channel.SLACK_WEBHOOK, Chat(notifier=post, compose=lambda r, _: slack.compose_for_webhook(r))
    if settings.teams.webhooks:
        from notifiers import teams

        post = _webhooks("teams", teams.WEBHOOKS, settings.teams.webhooks, settings)
        yield Channel.TEAMS, Chat(notifier=post, compose=lambda r, _: teams.compose(r))
    if settings.mattermost.webhooks:
        from notifiers import mattermost

        press = partial(
            mattermost.compose, press_url=f"{settings.base_url.rstrip('/')}/chat/mattermost", keys=settings.keys()
        )
        post = _webhooks("mattermost", mattermost.WEBHOOKS, settings.mattermost.webhooks, settings)
        yield Channel.MATTERMOST, Chat(notifier=post, compose=lambda r, _: press(r))
    if settings.apprise.urls:
        from notifiers import apprise

        urls = {name: url.get_secret_value() for name, url in settings.apprise.urls.items()}
        yield (
            Channel.APPRISE,
            Chat(notifier=apprise.AppriseNotifier(urls=urls), compose=lambda r, _: apprise.compose(r)),
        )


def _slack(settings: Settings, token: str, language: str) -> Chat:
    from notifiers import slack
    from notifiers.http import Outgoing

    def compose(reminder: Reminder, to: str) -> bytes:
        return slack.compose(reminder, channel=to)

    def close(sent: Delivery, about: Recommendation, people: People) -> bytes:
        reader, by = people.get(sent.person), people.get(about.closed_by)
        return slack.compose_closed(
            sent.body or b"{}",
            receipt=sent.receipt or "",
            language=(reader.language if reader else None) or language,
            state=about.state,
            name=by.name if by else about.closed_by or "",
        )

    outgoing = Outgoing(allowed=settings.networks())
    bot = _made("slack.token", lambda: slack.SlackNotifier(token=token, outgoing=outgoing, api=settings.slack.api))
    return Chat(notifier=bot, compose=compose, close=close)


def _webhooks(setting: str, service: Service, urls: Mapping[str, SecretStr], settings: Settings) -> Notifier:
    from notifiers.chat import WebhookNotifier
    from notifiers.http import Outgoing

    webhooks = {name: url.get_secret_value() for name, url in urls.items()}
    outgoing = Outgoing(allowed=settings.networks())
    return _made(f"{setting}.webhooks", lambda: WebhookNotifier(service=service, webhooks=webhooks, outgoing=outgoing))


def _made(setting: str, make: Callable[[], Notifier]) -> Notifier:
    try:
        return make()
    except ValueError as refusal:
        raise SettingsError(f"setting {setting}: {refusal}") from None
