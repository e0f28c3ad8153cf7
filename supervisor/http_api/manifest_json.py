"""JSON -> manifest: the normalised form of :mod:`supervisor.vm.spec`, every fault in it named.

Sizes are in bytes and times in milliseconds, as in the core; fields left out have its defaults.
"""

import re

import msgspec

from supervisor.api.refusals import denied, denied_for
from supervisor.vm import rules, spec
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.written.examine import examine

_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<field>.*)`")


def to_manifest(document: bytes) -> spec.Manifest:
    """Return the manifest that a client sent. Raises CommandDenied with every fault in it."""
    tree = _parse(document)
    if faults := examine(tree, spec.Manifest):
        raise denied(DenyReason.INVALID_MANIFEST, faults)
    try:
        manifest = msgspec.convert(tree, spec.Manifest)
    except msgspec.ValidationError as error:
        raise denied(DenyReason.INVALID_MANIFEST, [_named(error)]) from None
    if faults := rules.check(manifest):
        raise denied(DenyReason.INVALID_MANIFEST, faults)
    return manifest


def _parse(document: bytes) -> object:
    try:
        tree = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(f"is not JSON: {error}") from None
    except RecursionError:
        raise _unreadable("is not a manifest: nested too deeply") from None
    if not isinstance(tree, dict):
        raise _unreadable("is not a manifest, which is one JSON object")
    return tree


def _unreadable(why: str) -> CommandDenied:
    return denied_for(DenyReason.INVALID_MANIFEST, "body", why)


def _named(error: msgspec.ValidationError) -> FieldViolation:
    found = _AT.fullmatch(str(error))
    return (
        FieldViolation(found["field"], found["what"]) if found else FieldViolation("", str(error))
    )
