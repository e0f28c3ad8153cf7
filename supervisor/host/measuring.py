"""What QMP is asked about a confidential launch: its measurement, its secret, a report.

QEMU lies on the host, and so do we: an owner elsewhere believes none of the answers without the
processor's signature. Sources: QEMU's qapi/misc-target.json; 48 bytes of measurement and 16 of
nonce are those of the SEV API specification, sections 6.5 and 6.8.
"""

import base64
import binascii
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import trio

from supervisor.host import transport_keys
from supervisor.host.contact import Ask
from supervisor.host.monitor import Step
from supervisor.host.text import printable
from supervisor.qmp.errors import QmpCommandRefused, QmpError
from supervisor.sev.octets import to_base64
from supervisor.vm import observations as ob
from supervisor.vm.confidential import Sev, SevEvidence, Verification
from supervisor.vm.effects import INJECT, MEASURE, InjectSecret, MeasureLaunch, RequestReport
from supervisor.vm.observations import HostCheck
from supervisor.vm.start_failures import in_plain_words

WAITING = "launch-secret"
"""The state of a launch that is measured and has not run."""
RUNNING = "running"
"""That of one whose CPUs were let run, which ends the measuring."""
MEASUREMENT_BYTES = 48
REPORT_CHARACTERS = 4096
"""SEV's report has 208 bytes."""
REPORT = "query-sev-attestation-report"

Told = TypeVar("Told")
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class SevState(msgspec.Struct, frozen=True, rename="kebab"):
    """QMP's answer to query-sev, of QEMU 7.2 and of what 9.1 calls "sev"."""

    enabled: bool
    state: str
    api_major: Byte
    api_minor: Byte
    build_id: Byte
    policy: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0


class Answer(msgspec.Struct, frozen=True):
    """QMP's answer with bytes in it, in base64."""

    data: Annotated[str, msgspec.Meta(max_length=REPORT_CHARACTERS)]


async def measure_launch(order: MeasureLaunch, ask: Ask) -> ob.LaunchMeasured | ob.RunStateObserved:
    """Return what the processor measured, checked where the host is trusted to. Raises QmpError.

    A guest that runs already is told of as that: it is too late to measure it.
    """
    state = _read(await _asked(ask, Step("query-sev")), SevState, "query-sev")
    if not state.enabled:
        raise _refused("SEV is not enabled for this guest")
    if state.state == RUNNING:
        return ob.RunStateObserved(order.launch, ob.RunState.RUNNING)
    if state.state != WAITING:
        raise _refused(f"the launch is in the state {printable(state.state)[:32]}, not {WAITING}")
    answer = _read(await _asked(ask, Step(MEASURE)), Answer, MEASURE)
    if len(_decoded(answer.data, MEASURE)) != MEASUREMENT_BYTES:
        raise _refused(f"the measurement does not have {MEASUREMENT_BYTES} bytes")
    evidence = SevEvidence(
        answer.data, state.api_major, state.api_minor, state.build_id, state.policy
    )
    check, detail = await _check(order, evidence)
    return ob.LaunchMeasured(order.launch, evidence, check, detail)


async def _check(order: MeasureLaunch, evidence: SevEvidence) -> tuple[HostCheck, str]:
    ordered = order.confidential
    if not isinstance(ordered, Sev) or ordered.verification is not Verification.TRUSTED_HOST:
        return HostCheck.NOT_ASKED, ""
    directory = Path(order.directory)
    return await trio.to_thread.run_sync(transport_keys.verify, evidence, ordered, directory)


async def inject_secret(order: InjectSecret, ask: Ask) -> ob.SecretInjected:
    """Hand the sealed secret to the processor. Raises QmpError."""
    packet = {"packet-header": to_base64(order.packet_header), "secret": to_base64(order.secret)}
    await _asked(ask, Step(INJECT, packet))
    return ob.SecretInjected(order.launch, order.sha256)


async def fetch_report(order: RequestReport, ask: Ask) -> ob.ReportReceived | ob.ReportRefused:
    """Return the processor's report on a running SEV or SEV-ES guest."""
    try:
        answer = await _asked(ask, Step(REPORT, {"mnonce": to_base64(order.nonce)}))
        data = _decoded(_read(answer, Answer, REPORT).data, REPORT)
    except QmpError as error:
        return ob.ReportRefused(order.launch, order.nonce, str(error))
    return ob.ReportReceived(order.launch, order.nonce, data)


async def _asked(ask: Ask, step: Step) -> object:
    """Ask, and have a refusal in plain words."""
    try:
        return await ask(step)
    except QmpCommandRefused as error:
        raise _refused(in_plain_words(printable(str(error)))) from None


def _read(answer: object, kind: type[Told], command: str) -> Told:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError:
        raise _refused(f"QEMU's answer to {command} cannot be understood") from None


def _decoded(text: str, command: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _refused(f"QEMU's answer to {command} is not base64") from None


def _refused(why: str) -> QmpCommandRefused:
    return QmpCommandRefused("GenericError", why)
