"""A client's bytes -> messages of the contract, whatever the bytes are.

betterproto2 believes a field's type on the wire, so that a number may turn out to be a list. The
reference implementation reads everything first, and passes on only what the contract allows:
fields of other types are unknown ones (protobuf.dev, Encoding), and unknown ones are left out.
"""

from functools import cache
from typing import Any

from chronovisor_api._generated.message_pool import default_message_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from supervisor.api.reflection import contract


def decode(kind: type[Any], body: bytes) -> Any:
    """Return the message of a kind that has ``body``. Raises what a decoder may: it is no such."""
    reader = _reader(kind)
    if reader is None:
        return kind.FromString(body)
    message = reader.FromString(body)
    message.DiscardUnknownFields()
    return kind.FromString(message.SerializeToString())


@cache
def _reader(kind: type[Any]) -> type[Message] | None:
    """Return the reference implementation's class; None for one that is its own."""
    url = default_message_pool.type_to_url.get(kind)
    if url is None:
        return None
    return GetMessageClass(contract().FindMessageTypeByName(url.rpartition("/")[2]))
