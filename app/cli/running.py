"""`relance serve`, `worker`, `demo` and `doctor`: the service itself."""

from __future__ import annotations

import signal
import textwrap
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, counted, moment, note, print_json, say, stop

if TYPE_CHECKING:
    from datetime import datetime

    from app.wiring import House
    from scheduler.worker import Worker

HEARS_WITHIN_S = 0.5  # the system may hand a signal to any thread, which does not wake the one that waits for it


def worker(
    once: Annotated[bool, typer.Option("--once", help="Do what is due, print what was done, and end.")] = False,
    at: Annotated[str | None, typer.Option(help="With --once: as if it were this moment.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print one JSON document.")] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve /healthz, /readyz and /metrics on this port; 0 takes any."),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="The address they listen on.")] = "127.0.0.1",
) -> None:
    """Evaluate who changed or became due, and send what is ready.

    Any number of workers may run on one database.
    """
    from app.logs import to_stderr
    from app.settings import load_settings
    from app.tracing import tracing
    from app.wiring import House, open_store, utc_now
    from scheduler.clock import Clock

    if at and not once:
        raise CommandError("--at goes with --once: a running worker keeps the time itself")
    settings = load_settings()
    to_stderr(settings.log, events=not once)
    now = moment(at, "--at") if at else utc_now()
    with ExitStack() as work:
        store = work.enter_context(open_store(settings))
        if once:
            _work_once(House.build(settings, store).worker(now=now), now=now, as_json=as_json)
            return
        house = House.build(settings, store).watched(work.enter_context(tracing(settings)))
        running, stopped = house.worker(now=now), stop_signal()
        work.enter_context(running.at_work(Clock(time=utc_now), tick_s=settings.tick_s))
        if metrics_port is not None:
            _serve_vitals(house, work, metrics_host, metrics_port)
        note("worker running; Ctrl-C ends it")
        stopped()


def _serve_vitals(house: House, work: ExitStack, host: str, port: int) -> None:
    from app.pages import address, listening, serving
    from web.vitals import create_vitals

    listener = work.enter_context(listening(host, port))
    work.enter_context(serving(create_vitals(house.services(beside_worker=True)), listener))
    note(f"its figures on {address(listener)}/metrics")


def _work_once(running: Worker, *, now: datetime, as_json: bool) -> None:
    evaluated = running.evaluate(now=now)
    sent = running.dispatch(now=now)
    if running.courier is not None:
        running.courier.run(now=now)
    if running.ledger is not None:
        running.ledger.seal()
    if as_json:
        print_json(
            {
                "now": now,
                "customers": evaluated.customers,
                "raised": evaluated.raised,
                "resolved": evaluated.resolved,
                "queued": evaluated.queued,
                "sent": sent.sent,
                "retried": sent.retried,
                "failed": sent.failed,
                "unknown": sent.unknown,
                "quarantined": [{"customer": c, "reason": r} for c, r in evaluated.failed],
                "unaddressed": evaluated.unaddressed,
            }
        )
    else:
        changes = f"{evaluated.raised:,} raised, {evaluated.resolved:,} resolved"
        say(f"{counted(evaluated.customers, 'customer')} evaluated: {changes}")
        unsent = f"{sent.retried:,} to be tried again, {sent.failed:,} failed, {sent.unknown:,} uncertain"
        say(f"{counted(sent.sent, 'mail')} sent, {unsent}")
        for customer, reason in evaluated.failed:
            say(f"customer {customer} could not be evaluated: {reason}")
        if evaluated.unaddressed:
            unaddressed = counted(len(evaluated.unaddressed), "recommendation")
            say(f"nobody to write to for {unaddressed}: give the customers an owner, or set `nobody`")
    if evaluated.failed or sent.failed:
        stop(Exit.FINDINGS)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes any.")] = 8000,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Only the pages; `relance worker` runs elsewhere.")
    ] = False,
) -> None:
    """The web pages, and a worker beside them."""
    from app.logs import to_stderr
    from app.pages import address, listening, serving
    from app.settings import load_settings
    from app.tracing import tracing
    from app.wiring import House, open_store, utc_now
    from scheduler.clock import Clock
    from scheduler.worker import EVALUATE
    from web.app import create_app

    settings = load_settings()
    to_stderr(settings.log, events=True)
    with open_store(settings) as store, listening(host, port) as listener, tracing(settings) as span:
        house = House.build(settings, store).watched(span)
        stopped = stop_signal()
        with ExitStack() as work:
            services = house.services()
            if not no_worker:
                clock, running = Clock(time=utc_now), house.worker(now=utc_now())
                work.enter_context(running.at_work(clock, tick_s=settings.tick_s))
                services = house.services(wrote=lambda: clock.soon(EVALUATE), beside_worker=True)
            pages = serving(
                create_app(services),
                listener,
                stopping=services.stopping,
                trusted_proxies=settings.trusted_proxies,
            )
            work.enter_context(pages)
            note(f"Relance on {address(listener)}; Ctrl-C ends it")
            stopped()


def demo(
    customers: Annotated[int, typer.Option(min=1, max=100_000, help="How many customers to invent.")] = 500,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port of the pages; 0 takes any.")] = 8000,
    seed: Annotated[int, typer.Option(help="The same seed invents the same company.")] = 1,
    once: Annotated[
        bool, typer.Option("--once", help="Leave the mails in a folder, print the summary, and end.")
    ] = False,
    out: Annotated[Path, typer.Option(help="With --once: the folder for the mails.")] = Path("relance-demo"),
) -> None:
    """An invented company; Ctrl-C leaves nothing behind.

    Prints the address of a mailbox, with reminders to read and to act on.
    """
    from app.demo import run
    from app.logs import LogFormat, to_stderr

    to_stderr(LogFormat.TEXT)
    run(customers=customers, port=port, seed=seed, out=out if once else None, stop_signal=stop_signal)


def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as findings too.")] = False,
    send_to: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Send a test mail to this address as well.")
    ] = None,
    read: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Read it back and check it: imaps://USER:PASSWORD@HOST/INBOX or maildir:PATH."
        ),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, max=3600, help="With --read: wait so many seconds for it.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Settings, rules, chats, database, mail: what is well.

    Each is ok, a warning or an error, with the way out. Nothing is changed, and no mail is sent but by --send-to.
    """
    from app import mail_checks
    from app.doctor import Health, examine
    from app.settings import load_settings
    from app.wiring import utc_now
    from notifiers.addresses import Refusal, deliverable

    if read and not send_to:
        raise CommandError("--read goes with --send-to: it reads back what was sent")
    if send_to and isinstance(verdict := deliverable(send_to), Refusal):
        raise CommandError(f"--send-to: {verdict.reason}")
    settings, now = load_settings(), utc_now()
    findings = [*examine(settings, now=now), *mail_checks.examine(settings)]
    if send_to:
        findings += mail_checks.try_out(settings, send_to, read=read, wait_s=wait, now=now)
    if as_json:
        print_json(
            {"checks": [{"check": f.check, "health": f.health.value, "says": f.says, "do": f.do} for f in findings]}
        )
    else:
        for finding in findings:
            say(f"{finding.health:8} {finding.check}: {finding.says}")
            if finding.do:
                say(textwrap.indent(finding.do, " " * 9))
    bad = {Health.ERROR, Health.WARNING} if strict else {Health.ERROR}
    if any(finding.health in bad for finding in findings):
        stop(Exit.FINDINGS)


def stop_signal() -> Callable[[], None]:
    """From now on Ctrl-C and SIGTERM are waited for by what this returns."""
    come = SimpleQueue[None]()  # may be put to in the middle of its own `get`, where the lock of an Event is held
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: come.put(None))

    def wait() -> None:
        while True:
            with suppress(Empty):
                return come.get(timeout=HEARS_WITHIN_S)

    return wait
