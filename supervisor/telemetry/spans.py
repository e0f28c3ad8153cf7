"""The log -> spans: what took how long in the life of a VM.

A pure fold. Ids are made of the events' own, so whoever folds the log again, after a restart or in
another process, has the same spans.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from eventlog import Record
from supervisor.telemetry.trace_context import TraceContext, trace_context
from supervisor.vm import events as vm

VM_STREAM = "vm/"
MARKS = 128
"""Events told within one span, which is also OpenTelemetry's own limit; a guest may report progress
for days."""

Types = frozenset[str]


class Step(msgspec.Struct, frozen=True):
    """A stretch of a VM's life, from one of some events to one of others.

    It lies within ``within`` and ends with it at the latest; empty for the whole.
    """

    name: str
    begins: Types
    ends: Types
    within: str = ""


def _types(*events: type[vm.Event]) -> Types:
    return frozenset(vm.TAGS[event] for event in events)


BEGINNINGS = _types(vm.ComputationSubmitted, vm.StartOrdered)
"""What a client asks for, and what all that follows belongs to the trace of."""

_ENDINGS = _types(vm.VmStopped, vm.VmFailed)
_NEXT = _types(vm.ComputationSubmitted, vm.StartOrdered, vm.BackoffElapsed, vm.LaunchAbandoned)
_INTENDED = _types(vm.LaunchIntended)
_SPAWNED = _types(vm.QemuSpawned)
_STARTED = _types(vm.GuestStarted)
_EXITED = _types(vm.ProcessExited)

RUN = "run"
LAUNCH = "launch"

STEPS = (
    Step(RUN, BEGINNINGS, _ENDINGS),
    Step("await inputs", _types(vm.InputsAwaited), _INTENDED | _types(vm.Queued), RUN),
    Step("await session", _types(vm.SessionAwaited), _types(vm.SessionProvided), RUN),
    Step("queue", _types(vm.Queued), _INTENDED, RUN),
    Step("prepare", _NEXT, _INTENDED, RUN),
    Step("back off", _types(vm.LaunchEnded), _types(vm.BackoffElapsed, vm.RestartCancelled), RUN),
    Step(LAUNCH, _INTENDED, _types(vm.LaunchEnded, vm.LaunchAbandoned), RUN),
    Step("spawn", _INTENDED, _SPAWNED, LAUNCH),
    Step("process", _SPAWNED, _EXITED, LAUNCH),
    Step("greet", _SPAWNED, _types(vm.QmpReady, vm.Adopted), LAUNCH),
    Step("resume", _types(vm.QmpReady), _STARTED, LAUNCH),
    Step("boot", _STARTED, _types(vm.AgentReady, vm.GuestReady), LAUNCH),
    Step("compute", _types(vm.ComputationStarted), _types(vm.ComputationFinished), LAUNCH),
    Step("pause", _types(vm.GuestPaused), _types(vm.GuestResumed), LAUNCH),
    Step("stop", _types(vm.StopOrdered), _EXITED, LAUNCH),
    Step("collect", _EXITED, _types(vm.ResultRecorded, vm.ResultRefused), LAUNCH),
)
"""What lies within another stands after it."""


class Mark(msgspec.Struct, frozen=True):
    """An event that was recorded within a span; ``at_ns`` since 1970."""

    type: str
    at_ns: int
    position: int
    principal: str


class Span(msgspec.Struct, frozen=True):
    """A step that is over; times in nanoseconds since 1970, ``outcome`` as the last event has it.

    ``parent_id`` is empty where the trace begins.
    """

    name: str
    context: TraceContext
    span_id: str
    begun: Record
    ended: Record
    marks: tuple[Mark, ...] = ()
    outcome: str = ""
    has_failed: bool = False

    @property
    def vm_id(self) -> str:
        """The VM that it is of."""
        return self.begun.stream.removeprefix(VM_STREAM)


class _Facts(msgspec.Struct):
    """What is looked for in an event."""

    outcome: str = ""


_facts = msgspec.msgpack.Decoder(_Facts)


class _Open(msgspec.Struct):
    step: Step
    context: TraceContext
    span_id: str
    begun: Record
    marks: list[Mark]


class Life:
    """What is under way in one VM."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    @property
    def is_over(self) -> bool:
        """Whether nothing is under way."""
        return not self._open

    def fold(self, record: Record) -> Iterator[Span]:
        """Take the next event; yield what ended with it."""
        self._mark(record)
        yield from self._end(record)
        self._begin(record)

    def _mark(self, record: Record) -> None:
        around = self._open.get(LAUNCH) or self._open.get(RUN)
        if around is not None and len(around.marks) < MARKS:
            mark = Mark(record.type, record.recorded_at, record.position, record.principal)
            around.marks.append(mark)

    def _end(self, record: Record) -> Iterator[Span]:
        over: list[str] = []
        for name, each in self._open.items():  # what lies around another stands before it
            if record.type in each.step.ends or each.step.within in over:
                over.append(name)
        for name in over:
            yield _span(self._open.pop(name), record)

    def _begin(self, record: Record) -> None:
        for step in STEPS:
            if record.type not in step.begins or step.name in self._open:
                continue
            around = self._open.get(step.within)
            if around is None and step.within:
                continue  # its beginning is not in the log any more
            context = _within(around) if around else trace_context(record)
            span_id = _span_id(step, record)
            self._open[step.name] = _Open(step, context, span_id, record, [])


class Lives:
    """What is under way in all of them."""

    def __init__(self) -> None:
        self._lives: dict[str, Life] = {}

    def fold(self, record: Record) -> Iterator[Span]:
        """Take the next event of the log; yield what ended with it, if its trace is wanted."""
        if not record.stream.startswith(VM_STREAM):
            return
        life = self._lives.get(record.stream)
        if life is None:
            if record.type not in BEGINNINGS:
                return
            life = self._lives[record.stream] = Life()
        yield from (span for span in life.fold(record) if span.context.is_sampled)
        if life.is_over:
            del self._lives[record.stream]


def _within(around: _Open) -> TraceContext:
    return TraceContext(around.context.trace_id, around.span_id, around.context.is_sampled)


def _span_id(step: Step, begun: Record) -> str:
    return hashlib.sha256(f"{step.name} {begun.event_id}".encode()).hexdigest()[:16]


def _span(over: _Open, ended: Record) -> Span:
    outcome, marks = _outcome(ended), tuple(over.marks)
    has_failed = ended.type == vm.TAGS[vm.VmFailed] and over.step.name in (RUN, LAUNCH)
    name, context, begun = over.step.name, over.context, over.begun
    return Span(name, context, over.span_id, begun, ended, marks, outcome, has_failed)


def _outcome(record: Record) -> str:
    try:
        return _facts.decode(record.payload).outcome
    except msgspec.MsgspecError:
        return ""
