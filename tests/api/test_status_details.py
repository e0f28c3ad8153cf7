"""Refusals tell programs why, which field, and when to come back: google.rpc.Status."""

import pytest
from chronovisor_api import v1
from chronovisor_api.status_details import (
    BadRequest,
    ErrorInfo,
    RetryInfo,
    StatusDetailsCodec,
    detail,
)
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.metadata import decode_bin_value
from hypothesis import given
from hypothesis import strategies as st

from eventlog import LogEnded, PositionArchived, PositionInFuture
from supervisor.api.grpc_status import DETAIL_BYTES, DOMAIN, RETRY_AFTER, STATUS, grpc_error
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from tests.api.asked import asked, call
from tests.api.conftest import Served
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.raw_grpc import Headers, frame, headers, raw_client

METHOD = "/chronovisor.v1.Supervisor/GetVm"
HEADERS_BYTES = 8192
"""What gRPC's own libraries take of trailers by default."""


def info(error: GRPCError) -> ErrorInfo:
    found = detail(error, ErrorInfo)
    assert found is not None
    return found


@pytest.mark.parametrize("reason", DenyReason)
def test_every_reason_is_told_by_its_name(reason: DenyReason) -> None:
    error = grpc_error(CommandDenied(reason, "no"), METHOD)
    assert (info(error).reason, info(error).domain) == (reason.name, DOMAIN)
    assert (detail(error, RetryInfo) is not None) == (reason in RETRY_AFTER)


def test_only_what_passes_by_itself_is_worth_another_try() -> None:
    retried = {STATUS[reason] for reason in RETRY_AFTER}
    assert retried == {Status.RESOURCE_EXHAUSTED, Status.UNAVAILABLE}


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (PositionInFuture(7, 3), "POSITION_IN_FUTURE"),
        (PositionArchived(3, 7), "POSITION_ARCHIVED"),
        (LogEnded("disk"), "SHUTTING_DOWN"),
    ],
)
def test_what_the_log_says_has_a_reason_too(failure: Exception, reason: str) -> None:
    assert info(grpc_error(failure, METHOD)).reason == reason


def test_a_bug_has_the_number_it_was_logged_under() -> None:
    error = grpc_error(ValueError("secret"), METHOD)
    assert info(error).metadata["incident"] in (error.message or "")
    assert "secret" not in str(error.details)


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=3000)), max_size=40), st.text())
def test_trailers_fit_what_clients_take(wrong: list[tuple[str, str]], text: str) -> None:
    violations = tuple(FieldViolation(field, why) for field, why in wrong)
    denied = CommandDenied(DenyReason.INVALID_MANIFEST, text * 50, violations)
    error = grpc_error(denied, METHOD)
    data = StatusDetailsCodec().encode(error.status, error.message, error.details)
    assert len(data) * 4 / 3 + 2048 < HEADERS_BYTES
    told = detail(error, BadRequest)
    shown = [] if told is None else [(v.field, v.description) for v in told.field_violations]
    assert shown == wrong[: len(shown)]
    assert len(shown) == len(wrong) or sum(map(len, map("".join, wrong))) > DETAIL_BYTES / 6


@given(st.binary(max_size=200))
def test_a_trailer_that_is_broken_costs_only_the_details(data: bytes) -> None:
    assert isinstance(StatusDetailsCodec().decode(Status.NOT_FOUND, "no", data), list)


def test_what_was_sent_is_found_again() -> None:
    error = grpc_error(
        CommandDenied(DenyReason.MAILBOX_FULL, "busy", (FieldViolation("a.b", "is wrong"),)), METHOD
    )
    codec = StatusDetailsCodec()
    data = codec.encode(error.status, error.message, error.details)
    assert codec.decode(error.status, error.message, data) == error.details


async def test_a_stranger_reads_which_fields_are_wrong(served: Served) -> None:
    page = call("ListVms", {"pageSize": 1001, "pageToken": "?"})
    (refused,) = await asked(f"unix:{served.unix}", page)
    assert refused["code"] == "INVALID_ARGUMENT"
    wrong = refused["details"]["google.rpc.BadRequest"]["fieldViolations"]
    assert [violation["field"] for violation in wrong] == ["page_size", "page_token"]


async def test_a_stranger_reads_when_to_come_back(
    served: Served, supervisor: MemorySupervisor
) -> None:
    supervisor.failure = CommandDenied(DenyReason.SHUTTING_DOWN, "leaving")
    manifest = {"name": "a", "algorithm": {"sha256": "b" * 64}}
    submission = call("SubmitComputation", {"manifest": manifest, "idempotencyKey": "k"})
    (refused,) = await asked(f"unix:{served.unix}", submission)
    assert refused["code"] == "UNAVAILABLE"
    assert refused["details"] == {
        "google.rpc.ErrorInfo": {"reason": "SHUTTING_DOWN", "domain": DOMAIN},
        "google.rpc.RetryInfo": {"retryDelay": "2s"},
    }


async def test_a_client_of_ours_reads_the_same(served: Served) -> None:
    with pytest.raises(GRPCError) as refused:
        await served.ask(lambda stub: stub.get_vm(v1.GetVmRequest()))
    told = detail(refused.value, BadRequest)
    assert told is not None
    assert [violation.field for violation in told.field_violations] == ["vm_id"]


async def test_a_call_that_its_headers_refuse_says_why_in_the_same_way(served: Served) -> None:
    with pytest.raises(GRPCError) as refused:
        await served.ask_tcp(None, lambda stub: stub.get_vm(v1.GetVmRequest(vm_id="a")))
    assert info(refused.value).reason == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("request_", "message", "reason"),
    [
        (headers(without="te"), frame(b""), "INVALID_ARGUMENT"),
        (headers("GetVm"), frame(b"\x0a\xff"), "INVALID_ARGUMENT"),
        (headers("GetVm"), frame(b"", size=2**31), "RESOURCE_EXHAUSTED"),
        (headers("WatchEvents", ("grpc-timeout", "1m")), frame(b""), "DEADLINE_EXCEEDED"),
    ],
)
async def test_a_call_that_is_wrong_in_itself_has_a_reason_too(
    served: Served, request_: Headers, message: bytes, reason: str
) -> None:
    async with raw_client(served.unix) as client:
        trailers = await client.trailers(await client.call(request_, message))
    status = Status(int(trailers["grpc-status"]))
    data = decode_bin_value(trailers["grpc-status-details-bin"].encode())
    assert StatusDetailsCodec().decode(status, None, data) == [ErrorInfo(reason, DOMAIN)]
    assert status.name == reason
