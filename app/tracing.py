"""Traces for OpenTelemetry, where the settings or OTEL_EXPORTER_OTLP_ENDPOINT name who collects them.

A trace's id is the one that logs and audit have: of the request that wrote a record, of the evaluation that followed,
and of the mails that came of it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.metrics import Span, no_span
from app.settings import Settings, SettingsError
from domain.watch import Facts

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import SpanContext

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")  # as OpenTelemetry names them
TRACE_DIGITS = 32


@contextmanager
def tracing(settings: Settings) -> Generator[Span]:
    """What makes spans, for the length of the block; at its end all are handed over. Nothing is loaded where it is off.

    Raises `SettingsError` where OpenTelemetry is not installed.
    """
    endpoint = settings.tracing.endpoint
    if endpoint is None and not any(map(os.environ.get, ENDPOINTS)):
        yield no_span
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError("setting tracing: OpenTelemetry is missing; pip install relance[tracing]") from None
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
    with exporting(BatchSpanProcessor(exporter)) as span:
        yield span


@contextmanager
def exporting(processor: SpanProcessor) -> Generator[Span]:
    """Spans for a processor, which is shut down at the end of the block."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, NonRecordingSpan, set_span_in_context

    provider = TracerProvider(resource=Resource.create({"service.name": "relance"}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("relance")

    @contextmanager
    def span(name: str, /, *, traces: Collection[str] = ()) -> Generator[Facts]:
        """Belongs to the one trace it is given; of several it is a trace of its own, with a link to each."""
        known = list(_contexts(traces))
        parent = set_span_in_context(NonRecordingSpan(known[0])) if len(known) == 1 else None
        links = [Link(context) for context in known] if parent is None else []
        facts: Facts = {}
        with tracer.start_as_current_span(name, context=parent, links=links) as begun:
            yield facts
            begun.set_attributes(facts)

    try:
        yield span
    finally:
        provider.shutdown()


def _contexts(traces: Collection[str]) -> Iterator[SpanContext]:
    """The one place in each trace that every process knows: it follows from the trace's id."""
    from opentelemetry.trace import SpanContext, TraceFlags

    for trace in sorted(set(traces)):
        if len(trace) == TRACE_DIGITS and int(trace, 16):
            anchor = int(trace[:16], 16) or 1
            flags = TraceFlags(TraceFlags.SAMPLED)
            yield SpanContext(trace_id=int(trace, 16), span_id=anchor, is_remote=True, trace_flags=flags)
