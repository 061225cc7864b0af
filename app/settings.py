"""Settings: one file and the environment, checked before anything starts."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import time, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings import SettingsError as NotJson

from app.logs import LogFormat
from domain.access import IdentityProvider, Role
from domain.calendar import Span, Unit
from domain.policy import CatchUp, Late, Policy
from domain.retention import Keep
from notifiers.mail_server import SmtpServer, Tls
from rules.problems import Place, suggestion

Days: TypeAlias = Annotated[int, Field(ge=1, le=36_500)]

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE = "relance.toml"
PREFIX = "RELANCE_"
INTERVALS: Mapping[Unit, timedelta] = {
    Unit.MINUTES: timedelta(minutes=1),
    Unit.HOURS: timedelta(hours=1),
    Unit.DAYS: timedelta(days=1),
    Unit.WEEKS: timedelta(weeks=1),
}
EXAMPLES = {"rules": '["base", "rules"]', "secret_keys": '["..."]', "mail": '{"host": "localhost"}'}


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and says where to set it."""


class Mail(BaseModel):
    """Where mail is handed over, and whom it comes from."""

    model_config = {"extra": "forbid"}

    host: str = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    username: str | None = None
    password: SecretStr | None = None
    tls: Tls = Tls.NONE
    sender: str = "relance@localhost.localdomain"
    name: str = "Relance"
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    bounces: str | None = None  # the address that bounces go to, each with a number of its own in it
    bounce_mailbox: SecretStr | None = None  # where they arrive: imaps://, maildir: or mbox:
    connections: Annotated[int, Field(ge=1, le=100)] = 4
    mails_per_connection: Annotated[int, Field(ge=1)] = 100

    def server(self) -> SmtpServer:
        """Raises ValueError where the sender is no address."""
        return SmtpServer(
            host=self.host,
            port=self.port,
            sender=self.sender,
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
            tls=self.tls,
            timeout_s=self.timeout_s,
            connections=self.connections,
            mails_per_connection=self.mails_per_connection,
        )

    @field_validator("sender", "bounces")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is not None:
            SmtpServer(host="", port=25, sender=value)
        return value


class Slack(BaseModel):
    """A bot by its token, or incoming webhooks by name. `signing_secret`: for the buttons under a bot's messages."""

    model_config = {"extra": "forbid"}

    token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    webhooks: dict[str, SecretStr] = {}
    api: str = "https://slack.com/api"


class Webhooks(BaseModel):
    """A chat's incoming webhooks, by name."""

    model_config = {"extra": "forbid"}

    webhooks: dict[str, SecretStr] = {}


class Apprise(BaseModel):
    """Apprise's addresses, by name."""

    model_config = {"extra": "forbid"}

    urls: dict[str, SecretStr] = {}


class Oidc(BaseModel):
    """Who vouches for users, by OpenID Connect."""

    model_config = {"extra": "forbid"}

    issuer: str
    client_id: str
    client_secret: SecretStr
    role_claim: str | None = None  # the claim whose value decides on the role of somebody new
    roles: dict[str, Role] = {}  # by the claim's value, "*" for everybody else
    domains: list[str] = []  # of the addresses that are believed; none: all
    create_users: bool = False

    def provider(self) -> IdentityProvider:
        return IdentityProvider(
            issuer=self.issuer,
            client_id=self.client_id,
            client_secret=self.client_secret.get_secret_value(),
            role_claim=self.role_claim,
            roles=self.roles,
            domains=frozenset(domain.lower() for domain in self.domains),
            create_users=self.create_users,
        )

    @model_validator(mode="after")
    def _new_users_have_a_role(self) -> Oidc:
        if self.create_users and not self.roles:
            raise ValueError('create_users needs roles, as in roles = {"*" = "sales"}')
        return self


class Inbound(BaseModel):
    """A system that posts to /api/v1/inbound/NAME. `secret` signs, as Standard Webhooks say or in this `header`."""

    model_config = {"extra": "forbid"}

    map: str  # a file, or the name of a map that comes along
    secret: SecretStr | None = None
    header: str | None = None
    rows: str | None = None  # where the rows are in what it posts, as in data.items

    @model_validator(mode="after")
    def _signed(self) -> Inbound:
        if self.header is not None and self.secret is None:
            raise ValueError("header needs a secret, with which the sender signs")
        return self


class Source(BaseModel):
    """A foreign database that is read at intervals."""

    model_config = {"extra": "forbid"}

    url: SecretStr
    query: str
    map: str  # a file, or the name of a map that comes along
    watermark: str | None = None  # the column by which rows are known to be new
    every: str = "5 minutes"

    @field_validator("every")
    @classmethod
    def _at_intervals(cls, value: str) -> str:
        interval(value)
        return value

    @model_validator(mode="after")
    def _none_left_out(self) -> Source:
        if (self.watermark is None) == bool(re.search(r":watermark\b", self.query)):
            raise ValueError("watermark names a column, and :watermark stands in the query; one needs the other")
        if re.search(r">\s*:watermark\b", self.query):
            raise ValueError("write >= :watermark, or rows with the same watermark are left out")
        return self


class Retention(BaseModel):
    """For how many days what is kept; left out or none: for ever. `records`: by kind, since they were last written."""

    model_config = {"extra": "forbid"}

    webhook_attempts: Days | None = 30
    events: Days | None = 90
    bodies: Days | None = 90  # of messages that were sent
    history: Days | None = None  # of records, since a version was replaced
    recommendations: Days | None = None  # whose episode is over
    records: dict[str, Days] = {}

    def keep(self) -> Keep:
        return Keep(**self.model_dump())


class Tracing(BaseModel):
    """Where OpenTelemetry's traces go; else where OTEL_EXPORTER_OTLP_ENDPOINT says, and nowhere without it."""

    model_config = {"extra": "forbid"}

    endpoint: str | None = None


SECTIONS: Mapping[str, type[BaseModel]] = {
    "mail": Mail,
    "slack": Slack,
    "teams": Webhooks,
    "mattermost": Webhooks,
    "apprise": Apprise,
    "inbound": Inbound,
    "sources": Source,
    "oidc": Oidc,
    "retention": Retention,
    "tracing": Tracing,
}


class Settings(BaseSettings):
    """Every setting has a default but `secret_keys`, which nobody else may know."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid")

    database: str = "sqlite:///relance.db"
    rules: list[str] = ["base"]
    base_url: str = "http://127.0.0.1:8000"
    secret_keys: list[SecretStr] = []
    crm_url: str | None = None
    nobody: str | None = None
    tick_s: Annotated[float, Field(gt=0, le=3600)] = 0.5
    processes: Annotated[int | None, Field(ge=0, le=1024)] = None  # as many as cores; 0: decide here, unprotected
    at_once: Annotated[int | None, Field(ge=1)] = 3  # more reminders for one person at one time become a digest
    digest_at: time = time(8)
    catch_up: dict[str, str] = {}  # by rule, "*" for the others: send, collapse, or expire after 2 days
    heartbeat_url: SecretStr | None = None
    log: LogFormat = LogFormat.TEXT
    allowed_networks: list[str] = []
    trusted_proxies: list[str] = []  # addresses or networks whose X-Forwarded-For is believed
    mail: Mail = Mail()
    slack: Slack = Slack()
    teams: Webhooks = Webhooks()
    mattermost: Webhooks = Webhooks()
    apprise: Apprise = Apprise()
    inbound: dict[str, Inbound] = {}
    sources: dict[str, Source] = {}
    oidc: Oidc | None = None
    retention: Retention = Retention()
    tracing: Tracing = Tracing()

    @field_validator("base_url")
    @classmethod
    def _a_web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must begin with http:// or https://")
        return value

    @field_validator("crm_url")
    @classmethod
    def _a_customer_page(cls, value: str | None) -> str | None:
        if value is not None and ("{customer}" not in value or urlsplit(value).scheme not in ("http", "https")):
            raise ValueError("must be a web address with {customer} in it")
        return value

    @field_validator("secret_keys")
    @classmethod
    def _long_keys(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(len(key.get_secret_value()) < 16 for key in value):
            raise ValueError("each key needs at least 16 characters")
        return value

    @field_validator("catch_up")
    @classmethod
    def _readable(cls, value: dict[str, str]) -> dict[str, str]:
        for rule, said in value.items():
            try:
                catch_up(said)
            except ValueError as refusal:
                raise ValueError(f"{rule}: {refusal}") from None
        return value

    @field_validator("allowed_networks", "trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for network in value:
            ip_network(network)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, settings_file())

    def keys(self) -> list[str]:
        """The keys that sign links. Raises `SettingsError` when there are none."""
        if not self.secret_keys:
            raise SettingsError(
                f"secret_keys is missing: links in mails are signed with it. Make one with\n\n"
                f'    python -c "import secrets; print(secrets.token_urlsafe(32))"\n\n'
                f'and set it as {PREFIX}SECRET_KEYS=\'["..."]\' or as secret_keys = ["..."] in {FILE}'
            )
        return [key.get_secret_value() for key in self.secret_keys]

    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """What may be connected to although it is not public."""
        return tuple(map(ip_network, self.allowed_networks))

    def policy(self) -> Policy:
        policies = {rule: catch_up(said) for rule, said in self.catch_up.items()}
        return Policy(
            at_once=self.at_once,
            digest_at=self.digest_at,
            catch_up=policies,
            otherwise=policies.get("*", CatchUp()),
        )


def catch_up(said: str) -> CatchUp:
    """`send`, `collapse` or `expire after 2 days`. Raises ValueError."""
    word, _, after = " ".join(said.split()).partition(" after ")
    if word == Late.EXPIRE and after:
        return CatchUp(late=Late.EXPIRE, after=_span(after))
    if after or word not in (Late.SEND, Late.COLLAPSE):
        raise ValueError(f'"{said}" is none of: send, collapse, expire after 2 days')
    return CatchUp(late=Late(word))


def interval(said: str) -> timedelta:
    """`5 minutes`, `1 day`. Raises ValueError."""
    span = _span(said)
    if span.unit not in INTERVALS or not 1 <= span.count <= 1000:
        raise ValueError(f'"{said}" is no interval; write one like 5 minutes, 2 hours or 1 day')
    return span.count * INTERVALS[span.unit]


def _span(said: str) -> Span:
    from rules.phrases import Wrong, parse_span  # few have such a setting, and the grammar takes its time

    try:
        return parse_span(said, Place(file="", line=1, column=1, length=1, text=said))
    except Wrong as wrong:
        raise ValueError(f"{wrong.message}; {wrong.help}") from None


def settings_file() -> Path:
    """The settings file: RELANCE_SETTINGS names it, else relance.toml in the current folder."""
    return Path(os.environ.get(f"{PREFIX}SETTINGS", FILE))


def load_settings(**overrides: Any) -> Settings:
    """Raises `SettingsError` with every wrong setting, where it was set and what is wrong with it."""
    named = os.environ.get(f"{PREFIX}SETTINGS")
    if named and not Path(named).is_file():
        raise SettingsError(f"{PREFIX}SETTINGS names {named}, which is not a file")
    try:
        return Settings(**overrides)
    except ValidationError as failure:
        raise SettingsError("\n".join(map(_line, failure.errors()))) from None
    except NotJson as failure:
        name = re.findall('"(.*?)"', str(failure))[0]
        raise SettingsError(
            f"setting {name}: is not JSON, as in {EXAMPLES[name]} (set in environment variable {PREFIX}{name.upper()})"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as failure:
        raise SettingsError(f"{settings_file()} cannot be read as TOML: {failure}") from None


def _line(error: ErrorDetails) -> str:
    place = [str(part) for part in error["loc"]]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        fields = SECTIONS[place[0]].model_fields if place[0] in SECTIONS else Settings.model_fields
        message = f"there is no such setting; {suggestion(place[-1], fields)}"
    variables = [PREFIX + "__".join(place[:length]).upper() for length in range(1, len(place) + 1)]
    variable = next((v for v in variables if v in os.environ), None)
    source = f"environment variable {variable}" if variable else str(settings_file())
    return f"setting {'.'.join(place)}: {message} (set in {source})"
