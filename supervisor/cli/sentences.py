"""What an event means, in one line for people. One sentence for each type of event.

The data come from the log as JSON, perhaps written by another version: what is missing shows as
"?", and a type that is not known here shows its data.
"""

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from supervisor.admission import events as admission
from supervisor.cli.drawing import beside
from supervisor.cli.messages import Json
from supervisor.cli.output import human_size, printable
from supervisor.vm import events as vm

DIGEST_CHARACTERS = 12
"""Enough of a SHA-256 to recognise it."""

DATA_CHARACTERS_MAX = 100
"""Of an unknown event; its whole data are in the JSON."""

TYPE_COLUMN = 20
"""The longest short type, vm.agent-broke-protocol.v1, has 20 characters."""


STEPS = {
    vm.StopStep.ASK_GUEST.value: "the guest is asked",
    vm.StopStep.QUIT.value: "QEMU is told to quit",
    vm.StopStep.TERMINATE.value: "QEMU gets SIGTERM",
    vm.StopStep.KILL.value: "QEMU gets SIGKILL",
}


SUBJECT_COLUMN = 16
"""An id that the daemon chooses has 16 characters."""


class Facts(dict[str, Any]):
    """An event's data, each value ready to stand in a sentence."""

    def __missing__(self, key: str) -> str:
        return "?"


Sentence = str | Callable[[Facts], str]


def _finished(facts: Facts) -> str:
    problem = f": {facts['message'] or facts['error']}" if facts.get("error") else ""
    return f"the algorithm ended with exit code {facts['exit_code']}{problem}"


def _exited(facts: Facts) -> str:
    evidence = facts["evidence"] if isinstance(facts.get("evidence"), Facts) else Facts()
    if evidence.get("signal") is not None:
        return f"QEMU was ended by signal {evidence['signal']}"
    if evidence.get("exit_code") is not None:
        return f"QEMU exited with code {evidence['exit_code']}"
    return "QEMU is gone; how it ended is not known"


def _orphan(facts: Facts) -> str:
    ours = facts["verdict"] == admission.OrphanVerdict.OURS.value
    fate = "it is over and is ended" if ours else "no VM has it, and it is left alone"
    claim = f"launch {facts['launch']} of {facts['vm_id'] or 'no VM'}"
    return f"process {facts['pid']} looks like {claim}: {fate}"


def _reset(facts: Facts) -> str:
    # A guest's own reboot ends its QEMU, except after an ordered reset: firmware resets once more.
    again = "the machine resets itself once more"
    return again if facts.get("by_guest") else "the guest is reset and boots again"


def _made_to_fail(facts: Facts) -> str:
    faults = facts["faults"]
    told = "; ".join(map(str, faults)) if isinstance(faults, list | tuple) else faults
    return f"the daemon is made to fail: {told}"


def _ended(word: str) -> Callable[[Facts], str]:
    def told(facts: Facts) -> str:
        detail = f": {facts['detail']}" if facts.get("detail") else ""
        return f"{word}, {facts['outcome']}{detail}"

    return told


def _rejected(facts: Facts) -> str:
    reason = f": {facts['reason']}" if facts.get("reason") else ""
    return f"the owner rejects launch {facts['launch']}{reason}"


def _launched_again(facts: Facts) -> str:
    ended = _ended(f"launch {facts['launch']} ended")(facts)
    return f"{ended}; the next begins at {facts['deadline_ms']}"


def _inputs_awaited(facts: Facts) -> str:
    names = ", ".join(f"{each['provider']}/{each['id']}" for each in facts["inputs"])
    return f"it waits for {names}"


SENTENCES: dict[type[vm.Event | admission.Event], Sentence] = {
    admission.DaemonStarted: "the daemon starts, version {version}, process {pid}",
    admission.DaemonStopped: "the daemon stops; {vms_left_running} VMs left running",
    admission.FaultPlanLoaded: _made_to_fail,
    admission.VmsRecovered: (
        "the VMs were looked for: {adopted} attended to again, {silent} silent, {gone} gone"
    ),
    admission.OrphanFound: _orphan,
    admission.OrphanEnded: "process {pid}, launch {launch} of {vm_id}, is ended by {signal}",
    admission.ComputationAdmitted: "{vm_id} is admitted",
    admission.ArtifactStored: "an artifact is stored, {size}, sha256 {sha256}",
    vm.ComputationSubmitted: "{manifest[name]} is submitted",
    vm.Queued: "as many VMs run as may; it waits with ticket {ticket}",
    vm.LaunchIntended: "launch {launch} is ready to start ({accel})",
    vm.QemuSpawned: "QEMU runs as process {process[pid]}",
    vm.QmpReady: "QEMU {qemu_version} answers",
    vm.GuestStarted: "the guest runs, until {ttl_deadline_ms} at the latest",
    vm.AgentReady: "the guest's agent is ready",
    vm.ComputationStarted: "the algorithm runs",
    vm.ProgressReported: "{fraction} {message}",
    vm.ComputationFinished: _finished,
    vm.GuestReady: "the guest is ready, by {by}; it has until {ttl_deadline_ms}",
    vm.PauseOrdered: "a pause is ordered",
    vm.ResumeOrdered: "a resumption is ordered",
    vm.ResetOrdered: "a reset is ordered",
    vm.GuestPaused: "the guest is paused",
    vm.GuestResumed: "the guest runs on",
    vm.GuestReset: _reset,
    vm.GuestPanicked: "the guest's kernel panicked",
    vm.GuestDiskFailed: "the host failed the guest's disk {disk}: {detail}",
    vm.GuestShutDown: "the guest is shut down ({cause})",
    vm.GuestHung: "the guest did not feed its watchdog",
    vm.GuestSuspended: "the guest sleeps",
    vm.GuestWoke: "the guest is awake again",
    vm.GuestCrashLoaded: "the guest's kernel panicked; its crash kernel runs on",
    vm.MemoryFailed: "the host's memory failed the guest: {detail}",
    vm.AgentBrokeProtocol: "the agent broke the protocol: {detail}",
    vm.StopOrdered: "it is to end as {outcome}: {step} and has until {deadline_ms}",
    vm.StopEscalated: "the next step to its end: {step} and has until {deadline_ms}",
    vm.QmpCommandFailed: "QEMU did not do {command}: {detail}",
    vm.ContactLost: "QEMU does not answer: {detail}",
    vm.ObservationGap: "from {from_ms} to {to_ms} events of QEMU may be missing",
    vm.Adopted: "process {process[pid]} is attended to again, {run_state}",
    vm.LaunchAbandoned: "launch {launch} never became a process",
    vm.ObservationIgnored: "{kind} of launch {launch} came late and is ignored",
    vm.ProcessExited: _exited,
    vm.ResultRecorded: "the result is stored, {size}, sha256 {sha256}",
    vm.ResultRefused: "the result is refused: {detail}",
    vm.LaunchEnded: _launched_again,
    vm.BackoffElapsed: "launch {launch} is made ready",
    vm.StartOrdered: "launch {launch} is ordered",
    vm.RestartCancelled: "no other launch is to follow",
    vm.VmStopped: _ended("ended"),
    vm.VmFailed: _ended("failed"),
    vm.DeleteOrdered: "its deletion is ordered",
    vm.RemovalFailed: "its files cannot be removed, which is tried again: {detail}",
    vm.VmDeleted: "it is deleted; its history stays",
    vm.InputsAwaited: _inputs_awaited,
    vm.InputProvided: "{provider} provided {id}, {size}, sha256 {sha256}",
    vm.SessionAwaited: "launch {launch} needs a session of its own, until {deadline_ms}",
    vm.SessionProvided: "the session of launch {launch} has come",
    vm.LaunchMeasured: "launch {launch} is measured",
    vm.SecretAccepted: "a secret of {size} is taken, sha256 {sha256}",
    vm.SecretInjected: "the guest has its secret, sha256 {sha256}",
    vm.LaunchApproved: "launch {launch} may run, verified by the {verified_by}",
    vm.LaunchRejected: _rejected,
    vm.LaunchBypassed: "the guest ran although nobody had approved the launch",
    vm.ReportRequested: "a report with nonce {nonce_hex} is asked for",
    vm.ReportReceived: "the report with nonce {nonce} is here",
    vm.ReportRefused: "there is no report with nonce {nonce}: {detail}",
}

_BY_TAG = {tag: SENTENCES[kind] for kind, tag in (vm.TAGS | admission.TAGS).items()}


def sentence(event: Json) -> str:
    """Return what happened, in words."""
    data, template = event["data"], _BY_TAG.get(event["type"], _raw)
    try:
        facts = _facts(data)
        text = template.format_map(facts) if isinstance(template, str) else template(facts)
    except (TypeError, ValueError, LookupError, OverflowError, OSError):
        text = _raw(data)  # another version gave this type other data
    return printable(text)


def short_type(tag: str) -> str:
    """Return a type without its domain and version: vm.guest-started.v1 is guest-started."""
    domain, _, rest = tag.partition(".")
    name = rest.rpartition(".")[0]
    return name if domain in {"vm", "host"} and name else f"{domain}.{name}" if name else tag


def line(event: Json) -> str:
    """Return an event as `events` prints it: time, position, VM, type, sentence."""
    when = f"{local_time(event['time']):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    subject = _subject(event["stream"])
    kind = printable(short_type(event["type"]))
    head = f"{when} {event['position']:>6}  {subject:<{SUBJECT_COLUMN}} {kind:<{TYPE_COLUMN}} "
    return beside(head, sentence(event))


def brief(event: Json) -> str:
    """Return an event on one line for where room is scarce, without its day and position."""
    kind = printable(short_type(event["type"]))
    head = f"{local_time(event['time']):%H:%M:%S} {_subject(event['stream']):<{SUBJECT_COLUMN}}"
    return f"{head} {kind:<{TYPE_COLUMN}} {sentence(event)}"


def timeline(events: list[Json]) -> list[str]:
    """Return one line an event, with its time in seconds since the first."""
    if not events:
        return []
    start = local_time(events[0]["time"])
    return [_timed(event, (local_time(event["time"]) - start).total_seconds()) for event in events]


def _timed(event: Json, seconds: float) -> str:
    kind = printable(short_type(event["type"]))
    return beside(f"{seconds:>9.3f} s  {kind:<{TYPE_COLUMN}} ", sentence(event))


def local_time(instant: str) -> datetime.datetime:
    """Return an RFC 3339 time on this host's clock."""
    return datetime.datetime.fromisoformat(instant).astimezone()


def _subject(stream: str) -> str:
    kind, _, name = stream.partition("/")
    return printable(name[:DIGEST_CHARACTERS] if kind == "artifact" else name or kind)


def _raw(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False)
    return text if len(text) <= DATA_CHARACTERS_MAX else f"{text[:DATA_CHARACTERS_MAX]}..."


def _facts(data: Mapping[str, Any]) -> Facts:
    return Facts({key: _shown(key, value) for key, value in data.items()})


def _shown(key: str, value: Any) -> Any:
    match value:
        case dict():
            return _facts(value)
        case int() if key == "ttl_deadline_ms":  # perhaps days ahead
            return f"{datetime.datetime.fromtimestamp(value / 1000):%Y-%m-%d %H:%M:%S}"
        case int() if key.endswith("_ms"):
            return f"{datetime.datetime.fromtimestamp(value / 1000):%H:%M:%S}"
        case int() if key == "size":
            return human_size(value)
        case int() | float() if key == "fraction":
            return f"{value:.0%}"
        case str() if key == "step":
            return STEPS.get(value, value)
        case str() if key == "sha256":
            return value[:DIGEST_CHARACTERS]
    return value
