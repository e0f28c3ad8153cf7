"""The past in words: what changed between two moments, and why an event happened."""

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from supervisor.admission import events as admission
from supervisor.cli.messages import Json
from supervisor.cli.output import human_size, printable
from supervisor.cli.sentences import TYPE_COLUMN, local_time, sentence, short_type
from supervisor.past.changes import Change, Kind
from supervisor.schema import TAGS
from supervisor.vm import events as vm

QUIET = frozenset({"version", "seen_ms", "phase", "outcome"})
"""Fields that every event changes, or that the headline tells."""

VALUE_CHARACTERS = 60


class How(msgspec.Struct, frozen=True):
    """Between a cause and an event: what was done, and what was seen. Empty where nothing was."""

    done: str = ""
    seen: str = ""


_START = "QEMU is started"
_AGENT = "the guest's agent is heard"
_LADDER = {
    "ask-guest": "the guest is asked to end",
    "quit": "QEMU is told to quit",
    "terminate": "QEMU is sent SIGTERM",
    "kill": "QEMU is sent SIGKILL",
}
_FIND = "the process is looked for"

HOW: dict[type[Any], How] = {
    admission.DaemonStarted: How(),
    admission.DaemonStopped: How(seen="the daemon is told to leave"),
    admission.FaultPlanLoaded: How(seen="serve --fault-plan"),
    admission.VmsRecovered: How("the VMs are looked for", "every one was heard of, or is silent"),
    admission.OrphanFound: How("the processes of the host are looked at", "no VM has it"),
    admission.OrphanEnded: How("it is told to end", "its process is gone"),
    admission.ComputationAdmitted: How(),
    admission.ArtifactStored: How(),
    vm.ComputationSubmitted: How(),
    vm.Queued: How("its turn to launch is asked for", "others have theirs first"),
    vm.LaunchIntended: How("the files of a launch are made", "all of them are there"),
    vm.QemuSpawned: How(_START, "its process lives"),
    vm.QmpReady: How(_START, "it answers, and names this launch"),
    vm.GuestStarted: How("the CPUs are let run", "QEMU says RESUME"),
    vm.AgentReady: How(seen=_AGENT),
    vm.ComputationStarted: How("the agent is told to start", _AGENT),
    vm.ProgressReported: How(seen=_AGENT),
    vm.ComputationFinished: How(seen=_AGENT),
    vm.GuestReady: How("the guest is waited for", "its port or its console answers"),
    vm.PauseOrdered: How(),
    vm.ResumeOrdered: How(),
    vm.ResetOrdered: How(),
    vm.GuestPaused: How("the CPUs are stopped", "QEMU says STOP"),
    vm.GuestResumed: How("the CPUs are let run", "QEMU says RESUME"),
    vm.GuestReset: How(seen="QEMU says RESET"),
    vm.GuestPanicked: How(seen="QEMU says GUEST_PANICKED"),
    vm.GuestDiskFailed: How(seen="QEMU says BLOCK_IO_ERROR"),
    vm.GuestShutDown: How(seen="QEMU says SHUTDOWN"),
    vm.GuestHung: How(seen="QEMU says WATCHDOG"),
    vm.GuestSuspended: How(seen="QEMU says SUSPEND"),
    vm.GuestWoke: How(seen="QEMU says WAKEUP"),
    vm.GuestCrashLoaded: How(seen="QEMU says GUEST_CRASHLOADED"),
    vm.MemoryFailed: How(seen="QEMU says MEMORY_FAILURE"),
    vm.AgentBrokeProtocol: How(seen="a line that no agent may send"),
    vm.StopOrdered: How(),
    vm.StopEscalated: How("its time is measured", "it is over"),
    vm.QmpCommandFailed: How("QEMU is given the command", "it refuses"),
    vm.ContactLost: How(seen="QMP is silent"),
    vm.ObservationGap: How(_FIND, "nobody listened for a while"),
    vm.Adopted: How(_FIND, "it is there, with proofs"),
    vm.LaunchAbandoned: How(_FIND, "there never was one"),
    vm.ObservationIgnored: How(seen="a late word of an earlier launch"),
    vm.ProcessExited: How(seen="the process is gone"),
    vm.ResultRecorded: How("the results disk is read", "its bytes are stored"),
    vm.ResultRefused: How("the results disk is read", "it does not hold a result"),
    vm.LaunchEnded: How(),
    vm.BackoffElapsed: How("its time is measured", "it is over"),
    vm.StartOrdered: How(),
    vm.RestartCancelled: How(),
    vm.VmStopped: How(),
    vm.VmFailed: How(),
    vm.DeleteOrdered: How(),
    vm.RemovalFailed: How("the files are removed", "something stays"),
    vm.VmDeleted: How("the files are removed", "they are gone"),
    vm.InputsAwaited: How(),
    vm.InputProvided: How(),
    vm.SessionAwaited: How(),
    vm.SessionProvided: How(),
    vm.LaunchMeasured: How("the measurement is read", "the processor has one"),
    vm.SecretAccepted: How(),
    vm.SecretInjected: How("QEMU is given the secret", "the processor took it"),
    vm.LaunchApproved: How(),
    vm.LaunchRejected: How(),
    vm.LaunchBypassed: How(seen="the guest runs"),
    vm.ReportRequested: How(),
    vm.ReportReceived: How("a report is asked for", "it came"),
    vm.ReportRefused: How("a report is asked for", "it was refused"),
}
_BY_TAG = {TAGS[kind]: how for kind, how in HOW.items()}

COMMANDS = {
    TAGS[admission.ComputationAdmitted]: "submit",
    TAGS[vm.ComputationSubmitted]: "submit",
    TAGS[admission.ArtifactStored]: "upload",
    TAGS[vm.PauseOrdered]: "pause",
    TAGS[vm.ResumeOrdered]: "resume",
    TAGS[vm.ResetOrdered]: "reset",
    TAGS[vm.StartOrdered]: "start",
    TAGS[vm.InputProvided]: "provide",
    TAGS[vm.SessionProvided]: "sev provide-session",
    TAGS[vm.SecretAccepted]: "sev release",
    TAGS[vm.LaunchApproved]: "sev approve",
    TAGS[vm.LaunchRejected]: "sev reject",
    TAGS[vm.ReportRequested]: "sev report",
    TAGS[vm.StopOrdered]: "stop",
    TAGS[vm.RestartCancelled]: "stop",
    TAGS[vm.DeleteOrdered]: "delete",
    TAGS[vm.VmStopped]: "stop",
}
"""What a client asked for, by the first event that came of it."""


class Told(msgspec.Struct, frozen=True):
    """A link of a chain of causes, its events as `log cat --json` prints them."""

    event: Json
    together: tuple[Json, ...] = ()

    @property
    def first(self) -> Json:
        """The event that the cause led to directly; the others were decided with it."""
        return (*self.together, self.event)[0]


class Story(msgspec.Struct, frozen=True):
    """A chain of causes: what it began with, its steps, and the lines that tell it."""

    facts: Json
    lines: tuple[str, ...]


def story(links: Sequence[Told], *, whole: bool) -> Story:
    """Tell how one event led to the next."""
    hows = [_how(before, link) for before, link in zip((None, *links), links, strict=False)]
    origin = _origin(links[0].first, whole=whole)
    steps = [
        {
            "effect": how.done or None,
            "observation": how.seen or None,
            "together": link.together,
            "event": link.event,
        }
        for how, link in zip(hows, links, strict=True)
    ]
    facts = {"whole": whole, "origin": origin, "steps": steps}
    return Story(facts, tuple(_lines(links, hows, origin)))


def changes_in_words(changes: Iterable[Change]) -> list[str]:
    """Return a headline for each VM, with what changed below it."""
    return [text for change in changes for text in _change(change)]


def _how(before: Told | None, link: Told) -> How:
    how = _BY_TAG.get(link.first["type"], How())
    if before is None:
        return How()
    cause = before.event
    if link.first["type"] == TAGS[vm.ProcessExited] and cause["data"].get("step") in _LADDER:
        return How(_LADDER[cause["data"]["step"]], how.seen)
    if cause["type"] == TAGS[vm.LaunchIntended]:
        return How(_START, how.seen)  # whatever is heard of a process comes of its start
    return how


def _origin(first: Json, *, whole: bool) -> Json:
    kind = "command" if first["principal"] else "event"
    if not whole:
        kind = "unknown"
    return {
        "kind": kind,
        "command": COMMANDS.get(first["type"]) if kind == "command" else None,
        "principal": first["principal"] or None,
        "tenant": first["tenant"] or None,
        "request": first["causation_id"] or None,
    }


def _lines(links: Sequence[Told], hows: Sequence[How], origin: Json) -> Iterator[str]:
    start = local_time(links[0].event["time"])
    indent = ""
    if (begun := _beginning(origin)) is not None:
        yield f"{start:%Y-%m-%d %H:%M:%S}  {begun}"
        indent = "  "
    for link, how in zip(links, hows, strict=True):
        for word, text in (("done", how.done), ("seen", how.seen)):
            if text:
                yield f"{indent}{word}: {text}"
        for event in (*link.together, link.event):
            yield indent + _event_line(event, start)
        indent += "  "


def _beginning(origin: Json) -> str | None:
    match origin["kind"]:
        case "command":
            command = origin["command"] or "a request"
            return printable(f"{command}, by {origin['principal']} of {origin['tenant']}")
        case "unknown":
            return "what led to this is not in the log any more"
    return None


def _event_line(link: Json, start: datetime.datetime) -> str:
    after = (local_time(link["time"]) - start).total_seconds()
    name = printable(short_type(link["type"]))
    return f"+{after:.3f} s  {link['position']}  {name:<{TYPE_COLUMN}} {sentence(link)}"


def _change(change: Change) -> Iterator[str]:
    yield f"{change.vm_id}: {_headline(change)}"
    for name, (before, after) in change.fields.items():
        if name not in QUIET:
            yield f"  {name}: {_value(name, before)} -> {_value(name, after)}"


def _headline(change: Change) -> str:
    match change.kind:
        case Kind.SUBMITTED if change.after is not None:
            return f"submitted, now {_phase(change.after)}"
        case Kind.CHANGED if change.before is not None and change.after is not None:
            if change.before.phase is change.after.phase:
                return f"still {_phase(change.after)}"
            return f"{change.before.phase.value} -> {_phase(change.after)}"
        case Kind.DELETED if change.before is not None:
            return f"{change.before.phase.value} -> deleted"
        case Kind.UNREADABLE:
            return "has events that this version does not know"
    return "submitted and deleted again"


def _phase(state: Any) -> str:
    ended = f" ({state.outcome.value})" if state.outcome else ""
    return f"{state.phase.value}{ended}"


def _value(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name.endswith("_ms") or name.startswith("deadlines."):
        return f"{datetime.datetime.fromtimestamp(value / 1000):%H:%M:%S.%f}"[:-3]
    if name.endswith((".size", "_bytes")):
        return human_size(value)
    text = printable(str(value))
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}..."
