"""A gRPC client of another make that brings no copy of the contract: grpcio, and reflection.

    python -m tests.api.stranger TARGET < questions

Reads questions as one JSON list, answers each with a line of JSON. A program of its own, because
two libraries in one process would quarrel about the descriptors of reflection itself. The token,
if any, is in the environment.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.api.asked import TOKEN_VARIABLE

DETAILS = "grpc-status-details-bin"

CALL_S = 60.0
"""After which it hangs; everything here takes milliseconds."""

Json = dict[str, Any]


class Stranger:
    """Knows how to ask for the contract, and what it was told."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self._database)

    def services(self) -> list[str]:
        return sorted(self._database.get_services())

    def methods(self, service: str) -> list[str]:
        return [method.name for method in self._pool.FindServiceByName(service).methods]

    def call(self, path: str, *messages: Json, take: int = 1) -> list[Json]:
        """Send the messages, return the first that come back. Raises grpc.RpcError."""
        service, _, name = path.partition("/")
        method: MethodDescriptor = self._pool.FindServiceByName(service).methods_by_name[name]
        answer, request = GetMessageClass(method.output_type), GetMessageClass(method.input_type)
        # Any call is one of streams to whoever looks at the wire.
        call = self._channel.stream_stream(
            f"/{path}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        stream = call(iter([ParseDict(fields, request()) for fields in messages]), timeout=CALL_S)
        try:
            return [MessageToDict(message) for message in islice(stream, take)]
        finally:
            stream.cancel()  # a watch has no end of its own

    def refusal(self, error: grpc.RpcError) -> Json:
        """Return what a refusal says, its details by the names of their types."""
        trailers = dict(error.trailing_metadata() or ())
        try:
            details = self._details(error, trailers[DETAILS]) if DETAILS in trailers else {}
        except grpc.RpcError:  # who is not told the contract cannot read them
            details = {}
        return {"code": error.code().name, "message": error.details(), "details": details}

    def _details(self, error: grpc.RpcError, data: bytes) -> Json:
        status: Any = self._message("google.rpc.Status")
        status.ParseFromString(data)
        assert (status.code, status.message) == (error.code().value[0], error.details())
        found = {}
        for packed in status.details:
            found[packed.TypeName()] = detail = self._message(packed.TypeName())
            assert packed.Unpack(detail)
        return {name: MessageToDict(detail) for name, detail in found.items()}

    def _message(self, name: str) -> Message:
        return GetMessageClass(self._pool.FindMessageTypeByName(name))()


class _Authorized(grpc.StreamStreamClientInterceptor):  # type: ignore[misc] # grpc has no types
    def __init__(self, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)

    def intercept_stream_stream(self, proceed: Any, details: Any, requests: Any) -> Any:
        return proceed(details._replace(metadata=self._metadata), requests)


def answers(stranger: Stranger, questions: list[Json]) -> Iterator[Any]:
    for question in questions:
        ask: Callable[..., Any] = getattr(stranger, question.pop("ask"))
        try:
            yield ask(*question.pop("of", ()), **question)
        except grpc.RpcError as error:
            yield stranger.refusal(error)


def main(target: str) -> None:
    with grpc.insecure_channel(target) as plain:
        token = os.environ.get(TOKEN_VARIABLE)
        channel = grpc.intercept_channel(plain, _Authorized(token)) if token else plain
        for answer in answers(Stranger(channel), json.load(sys.stdin)):
            print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
