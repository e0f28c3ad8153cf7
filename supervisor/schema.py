"""The words of the log: tag -> type, and how words of older versions become those of this one.

A tag carries its version and is never given another payload. When an event needs another shape, it
gets a new tag, and the old one an entry in :data:`UPCASTERS`: a pure function from the old payload
to the new one, applied on every read. The bytes in the log stay as they are.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from eventlog import Record
from supervisor.admission import events as admission
from supervisor.vm import events as vm

AnyEvent = vm.Event | admission.Event
Payload = dict[str, Any]

TAGS: Mapping[type[Any], str] = {**vm.TAGS, **admission.TAGS}


class UnknownEventError(Exception):
    """The log holds an event that this version of the program cannot read."""


class Upcast(msgspec.Struct, frozen=True):
    """An old payload becomes that of ``tag``, which may itself be old."""

    tag: str
    payload: Callable[[Payload], Payload]


UPCASTERS: Mapping[str, Upcast] = {}
"""By old tag. Nothing has changed its shape yet."""


class Schema:
    """Reads every tag that this version writes, and every one that an older version wrote."""

    def __init__(self, tags: Mapping[type[Any], str], upcasters: Mapping[str, Upcast]) -> None:
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {
            tag: msgspec.msgpack.Decoder(event_type) for event_type, tag in tags.items()
        }
        self._upcasters = upcasters
        if twice := self._decoders.keys() & upcasters.keys():
            raise ValueError(f"{sorted(twice)} are both written and old")

    @property
    def digest(self) -> str:
        """Names the set of tags that can be read: another set may fold a log differently."""
        known = sorted((*self._decoders, *self._upcasters))
        return hashlib.sha256("\n".join(known).encode()).hexdigest()

    def decode(self, record: Record) -> Any:
        """Return the event that a record holds, in this version's words.

        Raises UnknownEventError for an unknown tag, or a payload that is not the tag's.
        """
        tag, payload = record.type, record.payload
        try:
            if tag in self._upcasters:
                tag, payload = self._upcast(tag, payload)
            decoder = self._decoders.get(tag)
            if decoder is None:
                raise _unknown(record, "which this version of chronovisor does not know")
            return decoder.decode(payload)
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise _unknown(record, f"which does not have the form of its type ({error})") from error

    def _upcast(self, tag: str, payload: bytes) -> tuple[str, bytes]:
        values = msgspec.msgpack.decode(payload, type=Payload)
        while (upcast := self._upcasters.get(tag)) is not None:
            tag, values = upcast.tag, upcast.payload(values)
        return tag, msgspec.msgpack.encode(values)


def _unknown(record: Record, why: str) -> UnknownEventError:
    return UnknownEventError(
        f"the log holds {record.type!r} at position {record.position}, {why}; "
        "start the version that wrote it, or a newer one"
    )


SCHEMA = Schema(TAGS, UPCASTERS)
