"""Settings: what may be written where, and what is said about what may not."""

from __future__ import annotations

import pytest

from app.settings import SettingsError, load_settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Loads settings from a file's text and an environment."""
    monkeypatch.chdir(tmp_path)

    def load(toml="", **environment):
        (tmp_path / "relance.toml").write_bytes(toml if isinstance(toml, bytes) else toml.encode())
        for name, value in environment.items():
            monkeypatch.setenv(f"RELANCE_{name}", value)
        return load_settings()

    return load


def test_every_setting_but_the_keys_has_a_default(settings):
    defaults = settings()
    assert (defaults.database, defaults.rules, defaults.tick_s) == ("sqlite:///relance.db", ["base"], 0.5)
    with pytest.raises(SettingsError) as missing:
        defaults.keys()
    assert str(missing.value).splitlines() == [
        "secret_keys is missing: links in mails are signed with it. Make one with",
        "",
        '    python -c "import secrets; print(secrets.token_urlsafe(32))"',
        "",
        'and set it as RELANCE_SECRET_KEYS=\'["..."]\' or as secret_keys = ["..."] in relance.toml',
    ]


def test_the_environment_goes_before_the_file(settings):
    toml = 'rules = ["base", "own"]\ntick_s = 5\n[mail]\nhost = "mail.example.com"\nport = 2525\n'
    loaded = settings(toml, TICK_S="7", MAIL__PORT="26")
    assert (loaded.rules, loaded.tick_s) == (["base", "own"], 7)
    assert (loaded.mail.host, loaded.mail.port) == ("mail.example.com", 26)


def test_the_file_may_have_another_name(settings, tmp_path):
    (tmp_path / "other.toml").write_text("tick_s = 3\n")
    assert settings("tick_s = 5\n", SETTINGS="other.toml").tick_s == 3


def test_secrets_are_not_shown(settings):
    loaded = settings('secret_keys = ["0123456789abcdef"]\n[mail]\npassword = "hunter2"\n')
    assert loaded.keys() == ["0123456789abcdef"]
    assert loaded.mail.server().password == "hunter2"
    for text in (repr(loaded), str(loaded), repr(loaded.mail.server())):
        assert "0123456789abcdef" not in text
        assert "hunter2" not in text


WRONG = {
    "unknown key": (
        'databse = "x"\n',
        {},
        'setting databse: there is no such setting; did you mean "database"? (set in relance.toml)',
    ),
    "unknown key of a section": (
        '[mail]\nhosst = "x"\n',
        {},
        'setting mail.hosst: there is no such setting; did you mean "host"? allowed: host, port, username, password, '
        "tls, sender, name, timeout_s, bounces, bounce_mailbox, connections, mails_per_connection "
        "(set in relance.toml)",
    ),
    "unknown key in the environment": (
        "",
        {"MAIL__HOSST": "x"},
        'setting mail.hosst: there is no such setting; did you mean "host"? allowed: host, port, username, password, '
        "tls, sender, name, timeout_s, bounces, bounce_mailbox, connections, mails_per_connection "
        "(set in environment variable RELANCE_MAIL__HOSST)",
    ),
    "wrong type": (
        'tick_s = "often"\n',
        {},
        "setting tick_s: Input should be a valid number, unable to parse string as a number (set in relance.toml)",
    ),
    "wrong type in the environment": (
        "",
        {"MAIL__PORT": "70000"},
        "setting mail.port: Input should be less than or equal to 65535 (set in environment variable "
        "RELANCE_MAIL__PORT)",
    ),
    "wrong type in a section of the environment": (
        "",
        {"MAIL": '{"port": "smtp"}'},
        "setting mail.port: Input should be a valid integer, unable to parse string as an integer (set in "
        "environment variable RELANCE_MAIL)",
    ),
    "no JSON in the environment": (
        "",
        {"RULES": "base,own"},
        'setting rules: is not JSON, as in ["base", "rules"] (set in environment variable RELANCE_RULES)',
    ),
    "a key as it is": (
        "",
        {"SECRET_KEYS": "0123456789abcdef"},
        'setting secret_keys: is not JSON, as in ["..."] (set in environment variable RELANCE_SECRET_KEYS)',
    ),
    "bad TOML": (
        "tick_s = [\n",
        {},
        "relance.toml cannot be read as TOML: Invalid value (at end of document)",
    ),
    "another encoding": (
        "crm_url = 'Zürich'\n".encode("latin-1"),
        {},
        "relance.toml cannot be read as TOML: 'utf-8' codec can't decode byte 0xfc in position 12: invalid start byte",
    ),
    "short key": (
        'secret_keys = ["secret"]\n',
        {},
        "setting secret_keys: each key needs at least 16 characters (set in relance.toml)",
    ),
    "no web address": (
        'base_url = "relance.example.com"\n',
        {},
        "setting base_url: must begin with http:// or https:// (set in relance.toml)",
    ),
    "a page for no customer": (
        'crm_url = "https://crm.example.com/"\n',
        {},
        "setting crm_url: must be a web address with {customer} in it (set in relance.toml)",
    ),
    "no sender": (
        '[mail]\nsender = "Relance"\n',
        {},
        "setting mail.sender: the sender of mails: the address 'Relance' has no @ (set in relance.toml)",
    ),
    "no file": ("", {"SETTINGS": "nowhere.toml"}, "RELANCE_SETTINGS names nowhere.toml, which is not a file"),
    "several at once": (
        "tick_s = 0\ncolour = 1\n",
        {},
        "setting tick_s: Input should be greater than 0 (set in relance.toml)\n"
        "setting colour: there is no such setting; allowed: database, rules, base_url, secret_keys, crm_url, nobody, "
        "tick_s, processes, at_once, digest_at, catch_up, heartbeat_url, ... (set in relance.toml)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named_with_what_is_wrong_and_where_it_was_set(settings, case):
    toml, environment, message = WRONG[case]
    with pytest.raises(SettingsError) as wrong:
        settings(toml, **environment)
    assert str(wrong.value) == message


def test_a_wrong_value_of_a_secret_is_not_repeated(settings):
    with pytest.raises(SettingsError) as wrong:
        settings('secret_keys = ["hunter2"]\n[mail]\npassword = ["hunter2"]\n')
    assert "hunter2" not in str(wrong.value)


def test_a_command_ends_with_the_settings_message_and_nothing_else(relance):
    relance.writes("relance.toml", 'colour = "red"\n')
    relance("doctor").refuses(
        "error: setting colour: there is no such setting; allowed: database, rules, base_url, secret_keys, crm_url, "
        "nobody, tick_s, processes, at_once, digest_at, catch_up, heartbeat_url, ... (set in relance.toml)"
    )
