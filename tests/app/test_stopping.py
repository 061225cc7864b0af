"""Ctrl-C and SIGTERM end the service, whichever thread the system hands them to."""

from __future__ import annotations

import subprocess
import sys

import pytest

WAITING = """
import signal, threading, time
from app.cli.running import stop_signal

wait = stop_signal()

def elsewhere():
    while not asleep():
        time.sleep(0.01)
    signal.pthread_kill(threading.get_ident(), signal.{name})

def asleep():
    with open("/proc/self/task/{{}}/stat".format(threading.main_thread().native_id)) as stat:
        return stat.read().rpartition(")")[2].split()[0] == "S"

threading.Thread(target=elsewhere).start()
wait()
print("ended")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sees by /proc that a thread sleeps")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_another_thread_takes_ends_the_wait(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITING.format(name=name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr
