"""A real mail server: Postfix, as a private instance in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from notifiers.mailbox import opened
from notifiers.smtp import SmtpNotifier, SmtpServer, Tls

COMMANDS = "/usr/sbin"
NOBODY = 65534
PATIENCE_S = 15.0

MAILBOX = "bounces@relance.example"
KEYS = ["a key"]

QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")
# near.example is the server that we talk to; mx.far.example, behind it, knows its recipients and refuses the others.
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}
myhostname = near.example
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
recipient_delimiter = +
smtpd_reject_unlisted_recipient = no
virtual_mailbox_domains = relance.example, example.com
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{bounces@relance.example=bounces/, lara@example.com=lara/, slow@example.com=slow/}}
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
relay_domains = far.example
relay_recipient_maps = inline:{{somebody@far.example=x}}
transport_maps = inline:{{far.example=smtp:[127.0.0.1]:{far}}}
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{policy}, permit_mynetworks, reject
"""
MASTER = """
127.0.0.1:{near} inet n - n - - smtpd
127.0.0.1:{far} inet n - n - - smtpd -o myhostname=mx.far.example -o smtpd_reject_unlisted_recipient=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


def missing() -> str | None:
    if not Path(COMMANDS, "postfix").exists():
        return "Postfix is not installed (Debian, Ubuntu: apt-get install postfix)"
    return None if os.geteuid() == 0 else "Postfix starts as root only"


class Greylist(socketserver.StreamRequestHandler):
    """A policy service of Postfix: whoever writes to slow@example.com for the first time is asked to come again."""

    seen: set[str]

    def handle(self) -> None:
        asked: dict[str, str] = {}
        for line in self.rfile:
            name, _, value = line.decode().strip().partition("=")
            asked[name] = value
            if not name:  # a blank line ends the question
                self.wfile.write(f"action={self._action(asked['recipient'])}\n\n".encode())

    def _action(self, recipient: str) -> str:
        if recipient in self.seen or not recipient.startswith("slow@"):
            return "dunno"
        self.seen.add(recipient)
        return "450 4.2.0 Greylisted, come again"


@dataclass(frozen=True)
class Postfix:
    folder: Path
    port: int

    def notifier(self) -> SmtpNotifier:
        return SmtpNotifier(
            server=SmtpServer(host="127.0.0.1", port=self.port, tls=Tls.NONE, sender=MAILBOX, timeout_s=PATIENCE_S)
        )

    def maildir(self, name: str) -> str:
        return f"maildir:{self.folder}/mail/{name}"

    def waits_for(self, name: str) -> None:
        """Until a mail lies in a mailbox."""
        new = self.folder / "mail" / name / "new"
        until(lambda: new.is_dir() and any(new.iterdir()), f"a mail for {name}; see {self.folder}/log/mail.log")

    def arrived(self, name: str) -> bytes:
        """The one mail that comes into a mailbox, marked as handled."""
        self.waits_for(name)
        with opened(self.maildir(name)) as box:
            ((mail, raw),) = box.waiting()
            box.handled(mail)
        return raw


def until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.02)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def configure(folder: Path, **ports: int) -> None:
    for name in ("conf", "data", "queue", "mail", "log"):
        (folder / name).mkdir()
    for name in QUEUES:
        (folder / "queue" / name).mkdir(mode=0o700)
        shutil.chown(folder / "queue" / name, "postfix")
    for name in ("maildrop", "public", "pid"):
        (folder / "queue" / name).mkdir()
    shutil.chown(folder / "queue" / "public", "postfix")
    shutil.chown(folder / "data", "postfix")
    shutil.chown(folder / "mail", NOBODY)
    folder.chmod(0o755)
    (folder / "conf" / "main.cf").write_text(MAIN.format(folder=folder, nobody=NOBODY, **ports))
    (folder / "conf" / "master.cf").write_text(MASTER.format(**ports))


@contextmanager
def running() -> Generator[Postfix]:
    """The server; the test is skipped, with the reason, where there is none."""
    if why_not := missing():
        pytest.skip(why_not)
    near, far = free_ports(2)
    greylist = socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("Greylisting", (Greylist,), {"seen": set[str]()}))
    greylist.daemon_threads = True
    thread = threading.Thread(target=greylist.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    # Not in pytest's own folder: that is root's alone, and Postfix works as other users.
    with tempfile.TemporaryDirectory(prefix="relance-postfix-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        configure(folder, near=near, far=far, policy=greylist.server_address[1])
        daemons = subprocess.run(
            [f"{COMMANDS}/postconf", "-dh", "daemon_directory"], check=True, capture_output=True, text=True
        ).stdout.strip()
        master = subprocess.Popen(
            [f"{daemons}/master", "-c", folder / "conf", "-d"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            until(lambda: answers(near) and answers(far), "Postfix to start")
            yield Postfix(folder=folder, port=near)
        finally:
            master.send_signal(signal.SIGTERM)  # it ends what it started, too
            master.wait()
            greylist.shutdown()
            thread.join()
            greylist.server_close()
