"""Spans -> a collector of OpenTelemetry, by OTLP over HTTP with protobuf.

The variables ``OTEL_EXPORTER_OTLP_HEADERS`` and ``OTEL_EXPORTER_OTLP_CERTIFICATE`` hold what a
collector asks for beside its address; the library reads them.
"""

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from supervisor.telemetry.spans import Mark, Span

ANSWER_S = 5.0
"""A collector that takes longer is as good as dead, and the thread that waits is our only one."""


class Collector:
    """Where spans are sent. Blocking: for a thread of its own."""

    def __init__(self, endpoint: str, version: str, node_id: str) -> None:
        # It tells of every try, with a traceback; whoever sends tells of it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = OTLPSpanExporter(endpoint, timeout=ANSWER_S)
        self._resource = Resource(
            {
                "service.name": "chronovisor",
                "service.version": version,
                "service.instance.id": node_id,
            }
        )

    def send(self, spans: Sequence[Span]) -> bool:
        """Return whether the collector took them."""
        told = [readable(span, self._resource) for span in spans]
        return self._exporter.export(told) is SpanExportResult.SUCCESS


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """Return a span as OpenTelemetry has it."""
    trace_id, parent_id = span.context.trace_id, span.context.parent_id
    return ReadableSpan(
        span.name,
        _place(trace_id, span.span_id),
        _place(trace_id, parent_id) if parent_id else None,
        resource,
        _attributes(span),
        [_event(mark) for mark in span.marks],
        status=Status(StatusCode.ERROR, span.outcome) if span.has_failed else Status(),
        start_time=span.begun.recorded_at,
        end_time=span.ended.recorded_at,
    )


def _place(trace_id: str, span_id: str) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=sampled)


def _attributes(span: Span) -> dict[str, str | int]:
    told: dict[str, str | int] = {
        "chronovisor.vm_id": span.vm_id,
        "chronovisor.first_position": span.begun.position,
        "chronovisor.last_position": span.ended.position,
    }
    if span.begun.principal:
        told["chronovisor.principal"] = span.begun.principal
    if span.outcome:
        told["chronovisor.outcome"] = span.outcome
    return told


def _event(mark: Mark) -> Event:
    told: dict[str, str | int] = {"chronovisor.position": mark.position}
    if mark.principal:
        told["chronovisor.principal"] = mark.principal
    return Event(mark.type, told, mark.at_ns)
