"""What QMP answers about a confidential launch, believed only where it can be understood."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from supervisor.host.agent_protocol import Attested
from supervisor.host.attestation import DEADLINE_S, Attestation
from supervisor.host.contact import Ask
from supervisor.host.flight_recorder import FlightRecorder, transcript
from supervisor.host.interposing import Channel
from supervisor.host.measuring import fetch_report, inject_secret, measure_launch
from supervisor.host.monitor import Step
from supervisor.qmp.errors import QmpCommandRefused
from supervisor.vm import observations as ob
from supervisor.vm.confidential import Sev, SevEvidence, Snp
from supervisor.vm.effects import InjectSecret, MeasureLaunch, RequestReport

MEASUREMENT = base64.b64encode(bytes(48)).decode()
SEV = {
    "enabled": True,
    "state": "launch-secret",
    "api-major": 1,
    "api-minor": 55,
    "build-id": 24,
    "policy": 3,
    "handle": 1,
}
MEASURED = {"query-sev": SEV, "query-sev-launch-measure": {"data": MEASUREMENT}}
ORDER = MeasureLaunch(1, "/nonexistent", Sev(3), None)
NONCE = bytes(range(16))


def answering(answers: Mapping[str, object], asked: list[Step] | None = None) -> Ask:
    async def ask(step: Step) -> object:
        await trio.lowlevel.checkpoint()
        if asked is not None:
            asked.append(step)
        answer = answers[step.name]
        if isinstance(answer, str):
            raise QmpCommandRefused("GenericError", answer)
        return answer

    return ask


async def test_a_measured_launch_is_told_with_version_and_policy() -> None:
    seen = await measure_launch(ORDER, answering(MEASURED))
    assert seen == ob.LaunchMeasured(1, SevEvidence(MEASUREMENT, 1, 55, 24, 3))


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"query-sev": SEV | {"enabled": False}}, "not enabled"),
        ({"query-sev": SEV | {"state": "launch-update"}}, "state launch-update"),
        ({"query-sev": SEV | {"api-major": 256}}, "cannot be understood"),
        ({"query-sev": []}, "cannot be understood"),
        ({"query-sev": "SEV is not available in this QEMU"}, "built without SEV"),
        ({"query-sev-launch-measure": {"data": "AAAA"}}, "48 bytes"),
        ({"query-sev-launch-measure": {"data": "A"}}, "not base64"),
        ({"query-sev-launch-measure": {}}, "cannot be understood"),
    ],
)
async def test_what_is_no_measurement_is_refused(answers: dict[str, object], says: str) -> None:
    with pytest.raises(QmpCommandRefused, match=says):
        await measure_launch(ORDER, answering(MEASURED | answers))


async def test_a_guest_that_runs_already_is_told_of_as_that() -> None:
    seen = await measure_launch(
        ORDER, answering(MEASURED | {"query-sev": SEV | {"state": "running"}})
    )
    assert seen == ob.RunStateObserved(1, ob.RunState.RUNNING)


async def test_a_secret_is_handed_over_in_base64_and_a_refusal_told_plainly() -> None:
    order = InjectSecret(1, "ab" * 32, b"h" * 52, b"s" * 64)
    asked: list[Step] = []
    ask = answering({"sev-inject-launch-secret": {}}, asked)
    assert await inject_secret(order, ask) == ob.SecretInjected(1, "ab" * 32)
    assert {name: base64.b64decode(str(text)) for name, text in asked[0].arguments.items()} == {
        "packet-header": b"h" * 52,
        "secret": b"s" * 64,
    }
    words = "SEV: failed to inject secret ret=-5 fw_error=11 'Bad measurement'"
    with pytest.raises(QmpCommandRefused, match="seal it for this launch"):
        await inject_secret(order, answering({"sev-inject-launch-secret": words}))


async def test_a_report_is_fetched_from_the_processor() -> None:
    order = RequestReport(1, NONCE, Sev(3))
    name = "query-sev-attestation-report"
    data = base64.b64encode(b"r" * 208).decode()
    seen = await fetch_report(order, answering({name: {"data": data}}))
    assert seen == ob.ReportReceived(1, NONCE, b"r" * 208)
    refused = await fetch_report(order, answering({name: "SEV is not enabled"}))
    assert isinstance(refused, ob.ReportRefused)
    assert "no SEV" in refused.detail


@pytest.mark.parametrize("name", ["packet-header", "secret"])
def test_no_secret_reaches_the_transcript(tmp_path: Path, name: str) -> None:
    (tmp_path / "launch-1").mkdir()
    arguments = {"packet-header": "aGVhZGVy", "secret": "c2VjcmV0"}
    line = json.dumps({"execute": "sev-inject-launch-secret", "arguments": arguments}).encode()
    FlightRecorder(tmp_path / "launch-1").record(Channel.QMP, "sent", line)
    kept = transcript(tmp_path, 1)
    assert b"sev-inject-launch-secret" in kept
    assert arguments[name].encode() not in kept


async def test_a_guest_answers_once_for_each_nonce_that_was_asked() -> None:
    attestation = Attestation(1)
    report = base64.b64encode(b"report").decode()

    async def agent(line: bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert json.loads(line)["nonce"] == NONCE.hex()
        attestation.answer(Attested(1, "ff", report))  # nobody asked for it
        attestation.answer(Attested(2, NONCE.hex(), report))
        attestation.answer(Attested(3, NONCE.hex(), error="failed"))

    seen = await attestation.ask(RequestReport(1, NONCE, Snp()), agent)
    assert seen == ob.ReportReceived(1, NONCE, b"report")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Attested(1, NONCE.hex(), error="unsupported", message="no driver"), "no driver"),
        (Attested(1, NONCE.hex()), "no report"),
        (Attested(1, NONCE.hex(), report="?"), "not base64"),
    ],
)
async def test_a_guest_without_a_report_is_told(answer: Attested, says: str) -> None:
    attestation = Attestation(1)

    async def agent(line: bytes) -> None:
        await trio.lowlevel.checkpoint()
        attestation.answer(answer)

    seen = await attestation.ask(RequestReport(1, NONCE, Snp()), agent)
    assert isinstance(seen, ob.ReportRefused)
    assert says in seen.detail


async def test_a_guest_that_never_answers_is_given_up(autojump_clock: object) -> None:
    async def deaf(line: bytes) -> None:
        await trio.lowlevel.checkpoint()

    began = trio.current_time()
    seen = await Attestation(1).ask(RequestReport(1, NONCE, Snp()), deaf)
    assert isinstance(seen, ob.ReportRefused)
    assert trio.current_time() - began == DEADLINE_S
