"""Which trace an event belongs to (W3C Trace Context, Level 1).

A request may bring its own; one that brings none begins a trace, whose id is the correlation id
that all its events carry anyway.
"""

import hashlib
import re

import msgspec

from eventlog import Record

_TRACEPARENT = re.compile(
    r"00-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
SAMPLED = 1
"""The flag of a caller who records the trace (section 3.2.2.5.1)."""


class TraceContext(msgspec.Struct, frozen=True):
    """A place in a trace; ``parent_id`` is empty where the trace begins here."""

    trace_id: str
    parent_id: str = ""
    is_sampled: bool = True


def trace_context(record: Record) -> TraceContext:
    """Return the trace of an event, and the span in it that the request came from."""
    return trace_of_request(record.traceparent, record.correlation_id)


def trace_of_request(traceparent: str, correlation_id: str) -> TraceContext:
    """Return the same of a request, whose id its events have as their correlation id."""
    given = _TRACEPARENT.fullmatch(traceparent)
    if given is not None:
        is_sampled = bool(int(given["flags"], 16) & SAMPLED)
        return TraceContext(given["trace"], given["parent"], is_sampled)
    return TraceContext(_as_trace_id(correlation_id))


def _as_trace_id(correlation_id: str) -> str:
    if _TRACE_ID.fullmatch(correlation_id):
        return correlation_id
    return hashlib.sha256(correlation_id.encode()).hexdigest()[:32]
