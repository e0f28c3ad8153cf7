"""What an owner asks of a confidential launch, with a real client: values, sizes and refusals."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import betterproto2
import msgspec
import pytest
from chronovisor_api import v1
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from supervisor.host.platform import Platform
from supervisor.service import Report
from supervisor.vm.commands import (
    ApproveLaunch,
    Command,
    CommandDenied,
    DenyReason,
    InjectSecret,
    ProvideSession,
    RejectLaunch,
)
from supervisor.vm.confidential import Confidential, GuestSession, Sev, SevEs, Snp
from tests.api.conftest import Served
from tests.api.memory_supervisor import MemorySupervisor

CERTIFICATE = bytes(range(256)) * 8 + bytes(36)
BLOB = b"\xfb" * 128
MEASUREMENT = b"\xff" * 32 + b"n" * 16
HEADER = b"h" * 52
NONCE = bytes(range(16))

Call = Callable[[v1.SupervisorStub], Awaitable[Any]]


def providing(certificate: bytes = CERTIFICATE, blob: bytes = BLOB, vm_id: str = "a") -> Call:
    session = v1.GuestSession(godh_cert=certificate, session_blob=blob)
    request = v1.ProvideSessionRequest(vm_id=vm_id, session=session)
    return lambda stub: stub.provide_session(request)


def injecting(**changes: Any) -> Call:
    packet = {"measurement": MEASUREMENT, "packet_header": HEADER, "secret": b"s"}
    request = v1.InjectLaunchSecretRequest(**{"vm_id": "a", "launch": 3, **packet, **changes})
    return lambda stub: stub.inject_launch_secret(request)


def approving(**changes: Any) -> Call:
    given = {"vm_id": "a", "launch": 3, "measurement": MEASUREMENT, **changes}
    return lambda stub: stub.approve_launch(v1.ApproveLaunchRequest(**given))


def rejecting(**changes: Any) -> Call:
    given = {"vm_id": "a", "launch": 3, **changes}
    return lambda stub: stub.reject_launch(v1.RejectLaunchRequest(**given))


def reporting(nonce: bytes = NONCE, vm_id: str = "a") -> Call:
    request = v1.GetAttestationReportRequest(vm_id=vm_id, nonce=nonce)
    return lambda stub: stub.get_attestation_report(request)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


async def with_a_vm(
    served: Served, supervisor: MemorySupervisor, confidential: Confidential | None
) -> None:
    manifest = v1.Manifest(name="iris", algorithm=v1.Algorithm(sha256="b" * 64))
    request = v1.SubmitComputationRequest(manifest=manifest, idempotency_key="k", vm_id="a")
    await served.ask(lambda stub: stub.submit_computation(request))
    plain = supervisor.vms["a"]
    demanding = msgspec.structs.replace(plain.manifest, confidential=confidential)
    supervisor.vms["a"] = msgspec.structs.replace(plain, manifest=demanding)


async def refusal(served: Served, call: Call) -> GRPCError:
    with pytest.raises(GRPCError) as refused:
        await served.ask(call)
    return refused.value


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (providing(), ProvideSession(GuestSession(text(CERTIFICATE), text(BLOB)))),
        (injecting(), InjectSecret(3, text(MEASUREMENT), HEADER, b"s")),
        (
            injecting(secret=b"s" * 16_384, idempotency_key="k" * 128),
            InjectSecret(3, text(MEASUREMENT), HEADER, b"s" * 16_384),
        ),
        (approving(), ApproveLaunch(3, text(MEASUREMENT))),
        (rejecting(), RejectLaunch(3)),
        (rejecting(reason="é" * 1024), RejectLaunch(3, "é" * 1024)),
    ],
)
async def test_what_an_owner_decides_reaches_the_vm(
    served: Served, supervisor: MemorySupervisor, call: Call, command: Command
) -> None:
    await with_a_vm(served, supervisor, Sev(policy=3))
    assert (await served.ask(call)).vm_id == "a"
    assert supervisor.commands == [("a", command)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda stub: stub.provide_session(v1.ProvideSessionRequest(vm_id="a")),
            "session: is missing",
        ),
        (providing(CERTIFICATE[1:]), "session.godh_cert: got 2083 bytes; it takes 2084"),
        (providing(CERTIFICATE + b"x"), "session.godh_cert: got 2085 bytes; it takes 2084"),
        (providing(blob=BLOB[1:]), "session.session_blob: got 127 bytes; it takes 128"),
        (providing(blob=BLOB + b"x"), "session.session_blob: got 129 bytes; it takes 128"),
        (injecting(launch=0), "launch: is missing; launches count from 1"),
        (injecting(measurement=b""), "measurement: got 0 bytes; it takes 48"),
        (injecting(measurement=bytes(49)), "measurement: got 49 bytes; it takes 48"),
        (injecting(packet_header=bytes(51)), "packet_header: got 51 bytes; it takes 52"),
        (injecting(packet_header=bytes(53)), "packet_header: got 53 bytes; it takes 52"),
        (injecting(secret=b""), "secret: got 0 bytes; it takes 1 to 16384"),
        (injecting(secret=bytes(16_385)), "secret: got 16385 bytes; it takes 1 to 16384"),
        (approving(launch=0), "launch: is missing; launches count from 1"),
        (approving(measurement=bytes(47)), "measurement: got 47 bytes; it takes 48"),
        (rejecting(launch=0), "launch: is missing; launches count from 1"),
        (
            rejecting(reason="x" * 1025),
            "reason: it takes at most 1024 printable characters",
        ),
        (rejecting(reason="a\x1b[2J"), "reason: it takes at most 1024 printable characters"),
        *(
            (call, "vm_id: is missing")
            for call in (
                providing(vm_id=""),
                injecting(vm_id=""),
                approving(vm_id=""),
                rejecting(vm_id=""),
                reporting(vm_id=""),
            )
        ),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_reaches_the_vm(
    served: Served, supervisor: MemorySupervisor, call: Call, message: str
) -> None:
    await with_a_vm(served, supervisor, Sev(policy=3))
    refused = await refusal(served, call)
    assert (refused.status, refused.message) == (Status.INVALID_ARGUMENT, message)
    assert (supervisor.commands, supervisor.nonces) == ([], [])


async def test_an_idempotency_key_beyond_its_bounds_is_named(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await with_a_vm(served, supervisor, Sev(policy=3))
    refused = await refusal(served, injecting(idempotency_key="k" * 129))
    assert refused.status is Status.INVALID_ARGUMENT
    assert str(refused.message).startswith("idempotency_key: ")


async def test_every_wrong_field_of_a_packet_is_named_at_once(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await with_a_vm(served, supervisor, Sev(policy=3))
    call = injecting(launch=0, measurement=b"", packet_header=b"", secret=b"")
    message = str((await refusal(served, call)).message)
    named = [part.split(":")[0] for part in message.split("; ") if ": " in part]
    assert named == ["launch", "measurement", "packet_header", "secret"]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (DenyReason.NOT_CONFIDENTIAL, Status.FAILED_PRECONDITION),
        (DenyReason.LAUNCH_DIFFERS, Status.FAILED_PRECONDITION),
        (DenyReason.MEASUREMENT_DIFFERS, Status.FAILED_PRECONDITION),
        (DenyReason.WRONG_PHASE, Status.FAILED_PRECONDITION),
        (DenyReason.SECRET_ALREADY_SENT, Status.ALREADY_EXISTS),
        (DenyReason.SECRET_TOO_LARGE, Status.INVALID_ARGUMENT),
        (DenyReason.SESSION_REUSED, Status.ALREADY_EXISTS),
        (DenyReason.PLATFORM_UNAVAILABLE, Status.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("call", [providing(), injecting(), approving(), rejecting(), reporting()])
async def test_a_refusal_of_the_vm_has_its_own_status(
    served: Served, supervisor: MemorySupervisor, call: Call, reason: DenyReason, status: Status
) -> None:
    await with_a_vm(served, supervisor, Sev(policy=3))
    supervisor.failure = CommandDenied(reason, "why it cannot be")
    refused = await refusal(served, call)
    assert (refused.status, refused.message) == (status, "why it cannot be")


@pytest.mark.parametrize(
    "call",
    [order(vm_id="b") for order in (providing, injecting, approving, rejecting, reporting)],
)
async def test_a_vm_that_is_not_there_is_not_found(served: Served, call: Call) -> None:
    assert (await refusal(served, call)).status is Status.NOT_FOUND


async def test_a_platform_arrives_as_bytes(served: Served, supervisor: MemorySupervisor) -> None:
    supervisor.found = Platform(text(CERTIFICATE), text(b"\xfe" * 6252), text(b"c" * 64), 51, 1)
    answer = await served.ask(lambda stub: stub.get_platform(v1.GetPlatformRequest()))
    assert answer == v1.GetPlatformResponse(
        sev=v1.SevPlatform(
            pdh=CERTIFICATE,
            cert_chain=b"\xfe" * 6252,
            cpu0_id=b"c" * 64,
            cbitpos=51,
            reduced_phys_bits=1,
        )
    )


async def test_a_host_without_a_secure_processor_says_why(served: Served) -> None:
    answer = await served.ask(lambda stub: stub.get_platform(v1.GetPlatformRequest()))
    why = v1.Unavailable(reason="there is no processor in memory")
    assert answer == v1.GetPlatformResponse(unavailable=why)


@pytest.mark.parametrize(
    ("confidential", "size"),
    [(Sev(policy=3), 16), (SevEs(policy=7), 16), (Snp(), 16), (Snp(), 17), (Snp(), 64)],
)
async def test_a_nonce_reaches_the_launch_and_its_report_comes_back(
    served: Served, supervisor: MemorySupervisor, confidential: Confidential, size: int
) -> None:
    await with_a_vm(served, supervisor, confidential)
    supervisor.answer = Report(7, b"\xff" * 208)
    answer = await served.ask(reporting(b"\xfe" * size))
    assert (answer.launch, answer.report, answer.unavailable) == (7, b"\xff" * 208, None)
    assert supervisor.nonces == [b"\xfe" * size]


async def test_a_report_that_was_refused_says_why(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await with_a_vm(served, supervisor, Snp())
    supervisor.answer = Report(7, refused="the guest has no agent")
    answer = await served.ask(reporting())
    assert answer.launch == 7
    assert betterproto2.which_one_of(answer, "answer") == (
        "unavailable",
        v1.Unavailable(reason="the guest has no agent"),
    )


@pytest.mark.parametrize(
    ("confidential", "size", "takes"),
    [
        (Sev(policy=3), 0, "16"),
        (Sev(policy=3), 15, "16"),
        (Sev(policy=3), 17, "16"),
        (SevEs(policy=7), 64, "16"),
        (Snp(), 15, "16 to 64"),
        (Snp(), 65, "16 to 64"),
    ],
)
async def test_a_nonce_that_its_technology_cannot_take_is_refused(
    served: Served,
    supervisor: MemorySupervisor,
    confidential: Confidential,
    size: int,
    takes: str,
) -> None:
    await with_a_vm(served, supervisor, confidential)
    refused = await refusal(served, reporting(bytes(size)))
    expected = f"nonce: got {size} bytes; it takes {takes}"
    assert (refused.status, refused.message) == (Status.INVALID_ARGUMENT, expected)
    assert supervisor.nonces == []
