"""What holds for every command: help, colours, pipes, interruption, and no traceback unless it is asked for."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import typer
from sqlalchemy import text

from app.cli import app
from domain.delivery import DeliveryState
from store import outbox
from tests.app.test_cli_files import K1, NOW
from tests.app.test_cli_store import AT, MAP, ROWS


def commands(command=None, path=()):
    """Every command and group, as the words after `relance`."""
    command = command or typer.main.get_command(app)
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_explains_itself_in_plain_text(relance, path):
    said = relance(*path, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(" ".join(("Usage: relance", *path)))
    assert "\x1b" not in said.out
    _, _, listed = said.out.partition("\nCommands:\n")
    assert "..." not in listed, "each fits its line"
    assert relance(*path, "-h") == said


def test_a_misspelt_command_is_guessed(relance):
    said = relance("rules", "chek")
    assert (said.code, said.out) == (2, "")
    assert said.err.endswith("Error: No such command 'chek'. Did you mean 'check', 'schema'?\n")


def test_a_missing_option_is_named(relance):
    said = relance("evaluate", "--rules", "base", "--now", NOW)
    assert (said.code, said.out) == (2, "")
    assert said.err.endswith("Error: Missing option '--dossiers'.\n")


# --- faults ---


@pytest.fixture
def faulty(company):
    """A company in whose database stands what no version ever wrote."""
    company.relance("worker", "--once", "--at", AT)
    with company.db.begin() as connection:
        connection.execute(text("UPDATE outbox SET state = 'lost'"))
    return company.relance


def test_a_fault_of_the_program_is_owned_up_to_in_two_lines(faulty):
    faulty("deliveries", "show", "1").refuses(
        "error: ValueError: 'lost' is not a valid DeliveryState\n"
        "This is a fault of Relance. Run again with --debug to see where."
    )


def test_debug_shows_where(faulty):
    said = faulty.run("--debug", "deliveries", "show", "1")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("Traceback (most recent call last):\n")
    assert said.err.endswith("ValueError: 'lost' is not a valid DeliveryState\n")


# --- pipes and terminals ---


def many(relance):
    dossiers = [K1 | {"customer": {"id": f"K{n}"}} for n in range(500)]
    relance.writes("dossiers.jsonl", "".join(json.dumps(dossier) + "\n" for dossier in dossiers))
    return ("evaluate", "--rules", "base", "--dossiers", "dossiers.jsonl", "--now", NOW)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_has_seen_enough_ends_it_quietly(relance, options):
    with relance.start(*many(relance), *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_ctrl_c_ends_a_command_quietly(relance):
    arguments = ("evaluate", "--rules", "base", "--dossiers", "-", "--now", NOW)
    with relance.start(*arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # As much as no pipe holds: when it is gone, the command is reading and deciding.
        process.stdin.write(
            b"".join(json.dumps(K1 | {"customer": {"id": f"K{n}"}}).encode() + b"\n" for n in range(900))
        )
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
        assert process.wait() == 130


@pytest.fixture
def on_a_terminal(relance):
    """Runs a command whose stderr is a terminal; gives what it printed on stdout, and there."""

    def run(*arguments, **env):
        ours, theirs = pty.openpty()
        with (
            os.fdopen(ours, "rb") as terminal,
            relance.start(
                *arguments, env={"TERM": "xterm-256color", **env}, stdout=subprocess.PIPE, stderr=theirs
            ) as process,
        ):
            os.close(theirs)
            shown = bytearray()
            try:
                while chunk := terminal.read1(4096):
                    shown += chunk
            except OSError:  # how a terminal ends on Linux
                pass
            return process.stdout.read().decode(), shown.decode()

    return run


def test_an_import_shows_its_progress_on_a_terminal_and_not_in_the_result(relance, on_a_terminal):
    relance("db", "upgrade")
    relance.writes("map.yaml", MAP)
    relance.writes("customers.csv", ROWS)
    arguments = ("import", "customers.csv", "--map", "map.yaml")
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]")

    out, shown = on_a_terminal(*arguments)
    assert "importing customers.csv" in shown
    assert colour.search(shown)
    assert out.startswith("customer: 2 new, 0 changed, 0 unchanged\n")
    assert "\x1b" not in out

    _, plain = on_a_terminal(*arguments, NO_COLOR="1")
    assert "importing customers.csv" in plain
    assert not colour.search(plain)


# --- serve ---


@contextmanager
def serving(company, *options):
    """A service on a port of its own; gives the process and its address."""
    with company.relance.start("serve", "--port", "0", *options, stderr=subprocess.PIPE) as process:
        line = process.stderr.readline().decode()
        found = re.fullmatch(r"Relance on (http://127\.0\.0\.1:[1-9]\d*); Ctrl-C ends it\n", line)
        assert found, line + process.stderr.read().decode()
        yield process, found[1]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_service_sends_and_answers_until_it_is_told_to_stop(company_today, stop):
    with serving(company_today) as (process, address):
        while not company_today.post.mails:
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(HTTPError) as answer, urlopen(f"{address}/a/nothing"):
            pass
        answer.value.close()
        assert answer.value.code == 404
        process.send_signal(stop)
        assert process.wait() == 0
        lines = process.stderr.read().decode().splitlines()
        assert all(" INFO relance." in line for line in lines), lines
        assert any(" relance.requests GET - 404 duration_ms=" in line for line in lines)
    assert outbox.counts(company_today.db) == {DeliveryState.SENT: 1}


def test_pages_alone_are_served_without_a_worker(company_today):
    with serving(company_today, "--no-worker") as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert company_today.post.mails == []


def test_an_address_that_cannot_be_listened_on_is_refused(company):
    port = company.post.port
    company.relance("serve", "--port", str(port)).refuses(
        f"error: 127.0.0.1 port {port}: Address already in use; name another --port, or 0 for any"
    )
    company.relance("serve", "--host", "no such host").refuses(
        "error: no such host port 8000: Name or service not known; name another --port, or 0 for any"
    )
