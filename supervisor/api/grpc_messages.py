"""A client's bytes -> messages of the contract, whatever the bytes are.

betterproto2 believes a field's type on the wire, so that a number may turn out to be a list. So the
reference implementation reads, in a tenth of the time, and our messages are made of what it found:
fields of other types are unknown ones (protobuf.dev, Encoding), and unknown ones are left out.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import betterproto2
from chronovisor_api._generated.message_pool import default_message_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from supervisor.api.reflection import contract

Read = Callable[[Any], Any]
"""The value of a field in the reference implementation -> the value in our message."""


def decode(kind: Any, body: bytes) -> Any:
    """Return the message of a kind that has ``body``. Raises what a decoder may: it is no such."""
    reader = _reader(kind)
    if reader is None:
        return kind.FromString(body)
    return _message(kind, reader.FromString(body))


@cache
def _reader(kind: Any) -> type[Message] | None:
    """Return the reference implementation's class; None for one that is its own."""
    url = default_message_pool.type_to_url.get(kind)
    if url is None:
        return None
    return GetMessageClass(contract().FindMessageTypeByName(url.rpartition("/")[2]))


def _message(kind: Any, message: Message) -> Any:
    plan, given = _plan(kind), {}
    for field, value in message.ListFields():
        name, read = plan[field.number]
        given[name] = read(value)
    return kind(**given)


@cache
def _plan(kind: Any) -> dict[int, tuple[str, Read]]:
    known = kind._betterproto
    return {
        meta.number: (name, _read(meta, known.cls_by_field[name]))
        for name, meta in known.meta_by_field_name.items()
    }


def _read(meta: betterproto2.FieldMetadata, kind: Any) -> Read:
    if meta.map_meta:
        value = _single(meta.map_meta[1], kind._betterproto.cls_by_field["value"])
        return lambda entries: {name: value(each) for name, each in entries.items()}
    single = _single(meta, kind)
    return (lambda values: [single(each) for each in values]) if meta.repeated else single


def _single(meta: betterproto2.FieldMetadata, kind: Any) -> Read:
    match meta.proto_type:
        case "enum":
            return partial(kind)
        case "message" if meta.unwrap:
            return partial(_wrapped, meta.unwrap)
        case "message":
            return partial(_message, kind)
    return _as_it_is


def _wrapped(unwrap: Callable[[], Any], message: Message) -> Any:
    return unwrap().FromString(message.SerializeToString()).to_wrapped()


def _as_it_is(value: Any) -> Any:
    return value
