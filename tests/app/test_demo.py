"""`relance demo`: an invented company, its mailbox, and nothing left behind."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from urllib.request import urlopen

import pytest

from domain.recommendation import State
from store import people, recommendations
from store.session import Database

CHROMIUM = Path("/usr/bin/chromium")
DONE = re.compile("done|erledigt|terminé|fatto", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    process: subprocess.Popen[bytes]
    address: str
    summary: str
    folder: Path

    def ends(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait()


@contextmanager
def running(terminal) -> Iterator[Demo]:
    """A demo whose mailbox is open. Its temporary folder is made in `tmp`."""
    folder = terminal.folder / "tmp"
    folder.mkdir()
    arguments = ("demo", "--port", "0", "--customers", "60")
    with terminal.start(
        *arguments, env={"TMPDIR": str(folder)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.decode())
            if line.strip().startswith(b"http://"):
                break
        try:
            assert lines, process.stderr and process.stderr.read().decode()
            yield Demo(process=process, address=lines[-1].strip(), summary="".join(lines[:-3]), folder=folder)
        finally:
            process.kill()


def page(address: str) -> str:
    with urlopen(address) as answer:
        return answer.read().decode()


# --- once ---


def test_a_demo_that_runs_once_leaves_its_mails_and_a_summary(relance):
    said = relance.run("demo", "--once", "--customers", "60", "--out", "mails")
    assert said.code == 0
    assert said.err == "inventing a company with 60 customers ...\n"
    *_, end = said.out.splitlines()
    assert end == "the mails are in mails/"
    assert re.search(r"^11 people, .*\b60 customer\b", said.out)
    sent = int(re.search(r"(\d+) mails? sent", said.out)[1])
    mails = sorted((relance.folder / "mails").glob("*.eml"))
    assert len(mails) == sent > 0
    assert [page.with_suffix(".eml") for page in sorted((relance.folder / "mails").glob("*.html"))] == mails
    assert sum(map(int, re.findall(r"^ +(\d+) to \S+$", said.out, re.MULTILINE))) == sent
    mail = message_from_bytes(mails[0].read_bytes(), policy=policy.default)
    assert mail["From"].addresses[0].addr_spec == "relance@example.com"
    assert mail["To"].addresses[0].addr_spec in said.out


def test_a_folder_with_something_in_it_is_left_alone(relance):
    relance.writes("mails/precious.txt", "mine")
    relance("demo", "--once", "--out", "mails").refuses("error: mails is not empty; name another folder with --out")
    relance("demo", "--once", "--out", "mails/precious.txt").refuses(
        "error: the folder mails/precious.txt cannot be made: File exists"
    )
    assert (relance.folder / "mails/precious.txt").read_text() == "mine"


# --- running ---


def test_ctrl_c_ends_the_demo_and_leaves_nothing_behind(relance):
    with running(relance) as demo:
        assert re.search(r"\d+ customers evaluated, \d+ recommendations?, \d+ mails? sent", demo.summary)
        assert "Mailbox" in page(demo.address)
        assert list(demo.folder.iterdir()), "the database is in the temporary folder"
        assert demo.ends() == 0
        assert list(demo.folder.iterdir()) == []
        assert demo.process.stderr.read().decode().splitlines() == [
            "inventing a company with 60 customers ...",
            "Ctrl-C ends the demo and leaves nothing behind",
        ]
    assert {path.name for path in relance.folder.iterdir()} == {"pack", "tmp"}


def test_a_port_in_use_is_said_with_the_way_out(relance):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        relance("demo", "--port", port).refuses(
            f"error: 127.0.0.1 port {port}: Address already in use; name another --port, or 0 for any"
        )


def test_a_mail_of_the_demo_is_opened_and_its_done_button_pressed(relance):
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install -e '.[dev]'")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    with running(relance) as demo, playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-quic"])
        tab = browser.new_page()
        tab.goto(demo.address)
        tab.get_by_role("navigation", name="Messages").get_by_role("link").first.click()
        recipient = tab.locator(".envelope span").inner_text()
        with tab.expect_popup() as popup:
            tab.frame_locator("iframe").get_by_role("link", name=DONE).first.click()
        confirming = popup.value
        with confirming.expect_navigation():
            confirming.get_by_role("button", name=DONE).click()
        assert DONE.search(confirming.get_by_role("heading", level=1).inner_text())
        browser.close()

        (file,) = demo.folder.glob("*/relance.db")
        with Database.connect(f"sqlite:///{file}") as db:
            (done,) = recommendations.listing(db, state=State.DONE)
            assert people.load(db).by_id[done.closed_by].email in recipient
        assert demo.ends() == 0
