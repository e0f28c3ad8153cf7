"""The contract's messages with anything in them: right and wrong types, huge, cut, or plain noise.

What is written is the wire format itself (protobuf.dev, Encoding), so that nothing stands between
us and what no library would send.
"""

import random
from importlib.resources import files

import chronovisor_api
import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

DEPTH = 5
"""How deep messages nest that mean something; noise nests deeper."""
EDGES = (0, 1, 2, 127, 128, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = ("", "a", "default", "../..", "\0", "ä" * 40, "x" * 5000, "*", "1970-01-01", "none", "-1")
VARINTS = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_SINT32,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_BOOL,
    FieldDescriptor.TYPE_ENUM,
}
WIDE = {
    FieldDescriptor.TYPE_DOUBLE,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}
NARROW = {
    FieldDescriptor.TYPE_FLOAT,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_SFIXED32,
}


class Method(msgspec.Struct, frozen=True):
    """One RPC."""

    path: str
    takes: Descriptor
    is_streamed: bool
    """Whether the server answers with a stream, which may have no end."""


def methods() -> tuple[Method, ...]:
    """Return every RPC of the contract."""
    packed = (files(chronovisor_api) / "_generated/descriptors.binpb").read_bytes()
    pool, found = DescriptorPool(), []
    for file in FileDescriptorSet.FromString(packed).file:
        pool.AddSerializedFile(file.SerializeToString())
        for service in file.service:
            for method in service.method:
                path = f"/{file.package}.{service.name}/{method.name}"
                takes = pool.FindMessageTypeByName(method.input_type.removeprefix("."))
                found.append(Method(path, takes, method.server_streaming))
    return tuple(found)


class Author:
    """Writes messages; ``words`` are strings that mean something to the daemon."""

    def __init__(self, chance: random.Random, words: tuple[str, ...]) -> None:
        self._chance = chance
        self._words = (*words, *WORDS)

    def message(self, kind: Descriptor) -> bytes:
        """Return something that is, was, or looks like a message of this kind."""
        fate = self._chance.random()
        if fate < 0.1:
            return self._chance.randbytes(self._chance.choice((1, 7, 64, 4096)))
        if fate < 0.13:
            return b"\x0a" * self._chance.choice((100, 100_000))
        proper = self._filled(kind, DEPTH)
        return self._spoilt(proper) if fate < 0.3 else proper

    def _spoilt(self, proper: bytes) -> bytes:
        spoilt = bytearray(proper or b"\0")
        for _ in range(self._chance.randint(1, 4)):
            spoilt[self._chance.randrange(len(spoilt))] = self._chance.randrange(256)
        return bytes(spoilt[: self._chance.randint(1, len(spoilt))])

    def _filled(self, kind: Descriptor, depth: int) -> bytes:
        filled = bytearray()
        for field in kind.fields:
            if self._chance.random() < 0.6:
                for _ in range(self._chance.choice((1, 1, 1, 2, 3))):
                    filled += self._field(field, depth)
        return bytes(filled)

    def _field(self, field: FieldDescriptor, depth: int) -> bytes:
        if self._chance.random() < 0.05:  # a type that is not the field's
            if self._chance.random() < 0.5:
                return _varint_field(field.number, self._chance.choice(EDGES))
            return _bytes_field(field.number, self._chance.randbytes(9))
        if field.type in VARINTS:
            return _varint_field(field.number, self._number(field))
        if field.type in WIDE:
            return _varint(field.number << 3 | 1) + self._chance.randbytes(8)
        if field.type in NARROW:
            return _varint(field.number << 3 | 5) + self._chance.randbytes(4)
        if field.message_type is not None:
            inner = self._filled(field.message_type, depth - 1) if depth else b""
            return _bytes_field(field.number, inner)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _bytes_field(field.number, self._chance.randbytes(self._size()))
        return _bytes_field(field.number, self._word())

    def _number(self, field: FieldDescriptor) -> int:
        if field.enum_type is not None and self._chance.random() < 0.8:
            return int(self._chance.choice(field.enum_type.values).number)
        if self._chance.random() < 0.5:
            return self._chance.randrange(10_000)
        return self._chance.choice(EDGES)

    def _size(self) -> int:
        return self._chance.choice((0, 1, 16, 48, 52, 64, 128, 2084, 20_000))

    def _word(self) -> bytes:
        if self._chance.random() < 0.05:
            return b"\xff" + self._chance.randbytes(4)
        return self._chance.choice(self._words).encode()


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))
