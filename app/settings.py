"""Settings: one file and the environment, checked before anything starts."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings import SettingsError as NotJson

from notifiers.smtp import SmtpServer, Tls
from rules.problems import suggestion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE = "relance.toml"
PREFIX = "RELANCE_"
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

    @field_validator("sender")
    @classmethod
    def _an_address(cls, value: str) -> str:
        SmtpServer(host="", port=25, sender=value)
        return value


class Settings(BaseSettings):
    """Every setting has a default but `secret_keys`, which nobody else may know."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid")

    database: str = "sqlite:///relance.db"
    rules: list[str] = ["base"]
    base_url: str = "http://127.0.0.1:8000"
    secret_keys: list[SecretStr] = []
    crm_url: str | None = None
    nobody: str | None = None
    tick_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    processes: Annotated[int | None, Field(ge=0, le=1024)] = None  # as many as cores; 0: decide here, unprotected
    mail: Mail = Mail()

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
        fields = Mail.model_fields if place[0] == "mail" else Settings.model_fields
        message = f"there is no such setting; {suggestion(place[-1], fields)}"
    variables = [PREFIX + "__".join(place[:length]).upper() for length in range(1, len(place) + 1)]
    variable = next((v for v in variables if v in os.environ), None)
    source = f"environment variable {variable}" if variable else str(settings_file())
    return f"setting {'.'.join(place)}: {message} (set in {source})"
