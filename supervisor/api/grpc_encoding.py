"""Messages of the contract -> their bytes: what betterproto2 makes of them, in a fifth of its time.

betterproto2 finds out anew for each field of each message how it is written. Here that is found out
once for each class; what our messages seldom have is left to the library (protobuf.dev, Encoding).
"""

from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from typing import Any

import betterproto2
from grpclib.encoding.proto import ProtoCodec

VARINT, LENGTH = 0, 2
"""Wire types: a number, and bytes with their length before them."""

_VARINTS = frozenset({"enum", "bool", "int32", "int64", "uint32", "uint64"})

NUMBERS_KEPT = 4096
"""Bytes of numbers, some 100 bytes each: sizes and limits that many messages have."""

Write = Callable[[Any], bytes]
"""The value of a field -> the whole field."""


class Codec(ProtoCodec):
    """Encodes messages, and passes on what was encoded before."""

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Return the bytes of a message."""
        if isinstance(message, bytes):
            return message
        if isinstance(message, betterproto2.Message):
            return encode(message)
        return super().encode(message, message_type)  # of another library, such as reflection


def encode(message: betterproto2.Message) -> bytes:
    """Return the same as ``bytes(message)``."""
    values = vars(message)
    fields = [
        write(value)
        for name, default, write in _plan(type(message))
        if (value := values[name]) is not None and value != default
    ]
    fields.append(message._unknown_fields)
    return b"".join(fields)


@cache
def _plan(kind: Any) -> tuple[tuple[str, Any, Write], ...]:
    known = kind._betterproto
    return tuple(
        (name, known.default_gen[name](), _writer(meta))
        for name, meta in known.meta_by_field_name.items()
    )


def _writer(meta: betterproto2.FieldMetadata) -> Write:
    if meta.map_meta:
        name, value = _single(1, meta.map_meta[0]), _single(2, meta.map_meta[1])
        return partial(_map, _key(meta.number, LENGTH), name, value)
    single = _single(meta.number, meta)
    if not meta.repeated:
        return single
    if meta.proto_type in betterproto2.PACKED_TYPES:
        pack = partial(betterproto2._preprocess_single, meta.proto_type, None)
        return partial(_packed, _key(meta.number, LENGTH), pack)
    return lambda values: b"".join(map(single, values))


def _single(number: int, meta: betterproto2.FieldMetadata) -> Write:
    if meta.proto_type in _VARINTS:
        return partial(_number, _key(number, VARINT))
    key = _key(number, LENGTH)
    match meta.proto_type:
        case "string":
            return partial(_text, key)
        case "bytes":
            return partial(_bytes, key)
        case "message":
            return partial(_message, key, meta.unwrap)
    library = partial(betterproto2._serialize_single, number, meta.proto_type)
    return partial(library, unwrap=meta.unwrap)


def _number(key: bytes, value: int) -> bytes:
    return key + _varint(value)


def _text(key: bytes, value: str) -> bytes:
    return _bytes(key, value.encode())


def _bytes(key: bytes, value: bytes) -> bytes:
    return b"%b%b%b" % (key, _varint(len(value)), value)


def _message(key: bytes, unwrap: Callable[[], Any] | None, value: Any) -> bytes:
    return _bytes(key, encode(value if unwrap is None else unwrap().from_wrapped(value)))


def _map(key: bytes, put_name: Write, put: Write, value: dict[Any, Any]) -> bytes:
    return b"".join(_bytes(key, put_name(name) + put(each)) for name, each in value.items())


def _packed(key: bytes, pack: Write, values: list[Any]) -> bytes:
    return _bytes(key, b"".join(map(pack, values)))


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


@lru_cache(NUMBERS_KEPT)
def _varint(value: int) -> bytes:
    return b"".join(_groups(value))


def _groups(value: int) -> Iterator[bytes]:
    value &= (1 << 64) - 1  # a negative number has ten groups
    while value >= 0x80:
        yield bytes([value & 0x7F | 0x80])
        value >>= 7
    yield bytes([value])
