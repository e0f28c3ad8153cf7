"""What took how long in the life of a VM, and which trace it belongs to."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from eventlog import Record
from supervisor.telemetry.spans import BEGINNINGS, MARKS, STEPS, Lives, Span
from supervisor.telemetry.trace_context import TraceContext, trace_context
from supervisor.vm import events as vm
from tests.telemetry.lives import CALLER, COMPLETED, REQUEST, SAMPLED, SECOND, TRACE, event, life


def spans(records: list[Record], lives: Lives | None = None) -> dict[str, Span]:
    lives = lives or Lives()
    return {span.name: span for record in records for span in lives.fold(record)}


def seconds(span: Span) -> tuple[int, int]:
    return span.begun.recorded_at // SECOND, span.ended.recorded_at // SECOND


def test_a_life_is_told_step_by_step() -> None:
    assert {name: seconds(span) for name, span in spans(life(*COMPLETED)).items()} == {
        "run": (1, 12),
        "prepare": (1, 2),
        "launch": (2, 12),
        "spawn": (2, 3),
        "process": (3, 10),
        "greet": (3, 4),
        "resume": (4, 5),
        "boot": (5, 6),
        "compute": (7, 8),
        "stop": (9, 10),
        "collect": (10, 11),
    }


def test_all_of_it_is_one_trace_below_the_request() -> None:
    told = spans(life(*COMPLETED, traceparent=SAMPLED))
    assert {span.context.trace_id for span in told.values()} == {TRACE}
    run, launch = told["run"], told["launch"]
    assert run.context.parent_id == CALLER
    assert launch.context.parent_id == run.span_id
    assert told["process"].context.parent_id == launch.span_id
    assert len({span.span_id for span in told.values()}) == len(told)


def test_a_failure_is_one_of_the_run_and_says_how() -> None:
    records = life("vm.submitted.v1", "vm.launch-intended.v1", "vm.qemu-spawned.v1")
    told = spans([*records, event(4, "vm.failed.v1", outcome="launch-deadline")])
    assert {name for name, span in told.items() if span.has_failed} == {"run", "launch"}
    assert {span.outcome for name, span in told.items() if seconds(span)[1] == 4} == {
        "launch-deadline"
    }


def test_who_orders_something_is_marked_where_it_happens() -> None:
    begun = life("vm.submitted.v1", "vm.launch-intended.v1", "vm.qemu-spawned.v1")
    ordered = event(4, "vm.stop-ordered.v1", principal="uid:0")
    told = spans([*begun, ordered, event(5, "vm.stopped.v1")])
    mark = told["launch"].marks[1]
    assert (mark.type, mark.position, mark.principal) == ("vm.stop-ordered.v1", 4, "uid:0")


def test_a_guest_that_reports_for_days_is_told_of_in_part() -> None:
    begun = life("vm.submitted.v1", "vm.launch-intended.v1")
    said = [event(number, "vm.progress-reported.v1") for number in range(3, 3 + 2 * MARKS)]
    told = spans([*begun, *said, event(10_000, "vm.stopped.v1")])
    assert len(told["launch"].marks) == MARKS


def test_a_request_that_is_not_recorded_is_not_told_of() -> None:
    assert spans(life(*COMPLETED, traceparent=f"00-{TRACE}-{CALLER}-00")) == {}


def test_each_vm_has_its_own() -> None:
    both = [
        each
        for first in life(*COMPLETED)
        for each in (first, event(first.position, first.type, vm_id="b", traceparent=SAMPLED))
    ]
    lives = Lives()
    told = [span for record in both for span in lives.fold(record)]
    assert {(span.vm_id, span.context.trace_id) for span in told} == {("a", REQUEST), ("b", TRACE)}


TAGS = st.lists(st.sampled_from(sorted(vm.TAGS.values())), max_size=60)


@given(TAGS, st.integers(0, 60))
def test_who_folds_the_log_again_has_the_same_spans(tags: list[str], cut: int) -> None:
    records = life(*COMPLETED[:1], *tags)
    at_once, again, lives = Lives(), Lives(), Lives()
    whole = [span for record in records for span in at_once.fold(record)]
    before = [span for record in records[:cut] for span in lives.fold(record)]
    after = [span for record in records for span in again.fold(record) if record.position > cut]
    assert whole == before + after


@given(TAGS)
def test_a_span_lies_within_its_parent(tags: list[str]) -> None:
    lives = Lives()
    told = [span for record in life(*tags) for span in lives.fold(record)]
    by_id = {span.span_id: span for span in told}
    for span in told:
        assert seconds(span)[0] <= seconds(span)[1]
        if (around := by_id.get(span.context.parent_id)) is not None:
            assert around.begun.position <= span.begun.position
            assert span.ended.position <= around.ended.position


def test_steps_are_made_of_events_of_the_log() -> None:
    of_interest = frozenset().union(*(step.begins | step.ends for step in STEPS))
    assert set(vm.TAGS.values()) >= of_interest
    names = ["", *(step.name for step in STEPS)]
    assert all(step.within in names[: names.index(step.name)] for step in STEPS)
    assert of_interest >= BEGINNINGS


@pytest.mark.parametrize(
    ("traceparent", "context"),
    [
        ("", TraceContext(REQUEST)),
        (SAMPLED, TraceContext(TRACE, CALLER)),
        (f"00-{TRACE}-{CALLER}-00", TraceContext(TRACE, CALLER, is_sampled=False)),
        (f"00-{TRACE}-{CALLER}-03", TraceContext(TRACE, CALLER)),
        (f"00-{TRACE}-{CALLER}-02", TraceContext(TRACE, CALLER, is_sampled=False)),
        (f"00-{'0' * 32}-{CALLER}-01", TraceContext(REQUEST)),
        (f"00-{TRACE}-{'0' * 16}-01", TraceContext(REQUEST)),
        ("garbage", TraceContext(REQUEST)),
    ],
)
def test_a_trace_is_the_callers_or_else_the_requests(
    traceparent: str, context: TraceContext
) -> None:
    assert trace_context(event(1, "vm.submitted.v1", traceparent=traceparent)) == context


@pytest.mark.parametrize("correlation_id", ["", "0" * 32, "request 1", "ä"])
def test_any_correlation_id_makes_a_trace(correlation_id: str) -> None:
    told = trace_context(replace(event(1, "vm.submitted.v1"), correlation_id=correlation_id))
    assert re.fullmatch("[0-9a-f]{32}", told.trace_id)
    assert told.trace_id != "0" * 32
