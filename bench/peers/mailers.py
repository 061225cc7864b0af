"""Other ways to send the same mails. Each gets what was rendered, and lays it out and sends it as its users would."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable, Mapping
from email.message import EmailMessage
from typing import Any, TypeAlias

import aiosmtplib

from notifiers.render import Rendered

Mails: TypeAlias = Iterable[tuple[str, Rendered]]
"""(whom to, what), rendered when it is asked for"""
SENDER = "relance@example.com"
HOST = "127.0.0.1"


def connection_per_mail(mails: Mails, port: int) -> None:
    """aiosmtplib as its first page shows it."""

    async def send() -> None:
        for to, rendered in mails:
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = SENDER, to, rendered.subject
            message.set_content(rendered.text)
            message.add_alternative(rendered.html, subtype="html")
            await aiosmtplib.send(message, hostname=HOST, port=port, start_tls=False)

    asyncio.run(send())


def django(mails: Mails, port: int) -> None:
    """One connection for all."""
    settings = importlib.import_module("django.conf").settings
    if not settings.configured:
        settings.configure()
    mail: Any = importlib.import_module("django.core.mail")
    backend = "django.core.mail.backends.smtp.EmailBackend"
    with mail.get_connection(backend, host=HOST, port=port) as connection:
        for to, rendered in mails:
            message = mail.EmailMultiAlternatives(
                rendered.subject, rendered.text, SENDER, [to], alternatives=[(rendered.html, "text/html")]
            )
            connection.send_messages([message])


def fastapi_mail(mails: Mails, port: int) -> None:
    """All in one call, which is one connection."""
    library: Any = importlib.import_module("fastapi_mail")
    config = library.ConnectionConfig(
        MAIL_USERNAME="",
        MAIL_PASSWORD="",
        MAIL_FROM=SENDER,
        MAIL_SERVER=HOST,
        MAIL_PORT=port,
        MAIL_STARTTLS=False,
        MAIL_SSL_TLS=False,
        USE_CREDENTIALS=False,
    )
    messages = [
        library.MessageSchema(
            subject=rendered.subject,
            recipients=[to],
            body=rendered.html,
            alternative_body=rendered.text,
            subtype=library.MessageType.html,
            multipart_subtype=library.MultipartSubtypeEnum.alternative,
        )
        for to, rendered in mails
    ]
    asyncio.run(library.FastMail(config).send_message(messages))


def redmail(mails: Mails, port: int) -> None:
    """One connection for all."""
    sender: Any = importlib.import_module("redmail").EmailSender(host=HOST, port=port, use_starttls=False)
    sender.use_jinja = False  # it is rendered already
    with sender:
        for to, rendered in mails:
            sender.send(subject=rendered.subject, sender=SENDER, receivers=[to], text=rendered.text, html=rendered.html)


# package: (the version whose figures are in the README, its way)
MAILERS: Mapping[str, tuple[str, Callable[[Mails, int], None]]] = {
    "django": ("5.2.19", django),
    "fastapi-mail": ("1.6.8", fastapi_mail),
    "redmail": ("0.6.0", redmail),
}
