"""Clients that bring no copy of the contract are told it, and can do everything with it."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import chronovisor_api
import pytest
from chronovisor_api import v1
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpclib.client import Channel
from grpclib.reflection.v1.reflection_grpc import ServerReflectionStub
from grpclib.reflection.v1.reflection_pb2 import ExtensionRequest as Extension
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest as Request
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionResponse as Response
from grpclib.reflection.v1alpha.reflection_grpc import (
    ServerReflectionStub as ServerReflectionAlphaStub,
)
from grpclib.reflection.v1alpha.reflection_pb2 import ServerReflectionRequest as AlphaRequest

from tests.api.asked import SUPERVISOR, asked, call
from tests.api.conftest import TOKEN, Served, ask

DIGEST = "b" * 64


async def reflected(served: Served, stub: Callable[[Channel], Any], *requests: Any) -> list[Any]:
    async def questions(channel: Channel) -> list[Any]:
        return list(await stub(channel).ServerReflectionInfo(list(requests)))

    return await ask(f"unix:{served.unix}", None, questions)


async def test_every_service_there_is_is_listed(served: Served) -> None:
    (services,) = await asked(f"unix:{served.unix}", {"ask": "services"})
    assert services == [SUPERVISOR, "grpc.health.v1.Health", "manager.ManagerService"]


async def test_a_stranger_learns_every_method(served: Served) -> None:
    (methods,) = await asked(f"unix:{served.unix}", {"ask": "methods", "of": [SUPERVISOR]})
    paths = v1.SupervisorBase().__mapping__()
    assert [f"/{SUPERVISOR}/{method}" for method in methods] == list(paths)


async def test_a_stranger_submits_reads_and_watches(served: Served) -> None:
    manifest = {"name": "iris", "algorithm": {"sha256": DIGEST}}
    submission = {"manifest": manifest, "idempotencyKey": "k", "vmId": "a"}
    accepted, read, watched = await asked(
        f"unix:{served.unix}",
        call("SubmitComputation", submission),
        call("GetVm", {"vmId": "a"}),
        {**call("WatchEvents", {"vmId": "a"}), "take": 2},
    )
    assert accepted[0]["vm"]["vmId"] == "a"
    assert read[0]["manifest"]["name"] == "iris"
    assert [list(item) for item in watched] == [["event"], ["caughtUp"]]


async def test_a_stranger_uploads(served: Served) -> None:
    pieces = [{"chunk": b64encode(text).decode()} for text in (b"one", b"two")]
    ((stored,),) = await asked(f"unix:{served.unix}", call("UploadArtifact", *pieces))
    assert stored == {"sha256": hashlib.sha256(b"onetwo").hexdigest(), "size": "6"}


async def test_a_stranger_asks_for_the_health(served: Served) -> None:
    check = {"ask": "call", "of": ["grpc.health.v1.Health/Check", {}]}
    assert await asked(f"unix:{served.unix}", check) == [[{"status": "SERVING"}]]


async def test_over_tcp_reflection_needs_the_token_as_all_else_does(served: Served) -> None:
    (services,) = await asked(str(served.tcp), {"ask": "services"}, token=TOKEN)
    assert SUPERVISOR in services
    (refused,) = await asked(str(served.tcp), {"ask": "services"})
    assert refused["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("stub", "request_type"),
    [(ServerReflectionStub, Request), (ServerReflectionAlphaStub, AlphaRequest)],
    ids=["v1", "v1alpha"],
)
async def test_both_versions_of_reflection_answer(
    served: Served, stub: Callable[[Channel], Any], request_type: type[Any]
) -> None:
    question = request_type(file_containing_symbol=SUPERVISOR)
    (answer,) = await reflected(served, stub, question)
    assert len(answer.file_descriptor_response.file_descriptor_proto) == 1


@pytest.mark.parametrize(
    "request_",
    [
        Request(file_by_filename="../../etc/passwd"),
        Request(file_by_filename="\0" * 60_000),
        Request(file_containing_symbol="x" * 60_000),
        Request(file_containing_symbol="..."),
        Request(all_extension_numbers_of_type="no.such.Type"),
        Request(file_containing_extension=Extension(containing_type="x", extension_number=-1)),
        Request(
            file_containing_extension=Extension(
                containing_type=f"{SUPERVISOR.rpartition('.')[0]}.Vm", extension_number=-(2**31)
            )
        ),
        Request(host="h"),
    ],
    ids=lambda request: str(request)[:30],
)
async def test_what_is_not_there_is_an_answer_and_the_next_question_is_answered_too(
    served: Served, request_: Request
) -> None:
    good = Request(file_containing_symbol=SUPERVISOR)
    bad, next_answer = await reflected(served, ServerReflectionStub, request_, good)
    assert isinstance(bad, Response)
    assert bad.error_response.error_code in {3, 5}
    assert next_answer.HasField("file_descriptor_response")


def test_what_is_told_is_packed_with_the_generated_code() -> None:
    packed = files(chronovisor_api) / "_generated" / "descriptors.binpb"
    names = [file.name for file in FileDescriptorSet.FromString(packed.read_bytes()).file]
    assert {"chronovisor/v1/supervisor.proto", "google/rpc/error_details.proto"} <= set(names)
