"""JSON -> manifest: the normalised form of :mod:`supervisor.vm.spec`, every fault in it named.

Sizes are in bytes and times in milliseconds, as in the core; fields left out have its defaults.
"""

import re

import msgspec

from supervisor.api.refusals import denied, denied_for
from supervisor.vm import rules, spec
from supervisor.vm.commands import DenyReason, FieldViolation
from supervisor.written.examine import examine
from supervisor.written.json_object import read_object

_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<field>.*)`")


def to_manifest(document: bytes) -> spec.Manifest:
    """Return the manifest that a client sent. Raises CommandDenied with every fault in it."""
    try:
        tree = read_object(document, "a manifest")
    except ValueError as why:
        raise denied_for(DenyReason.INVALID_MANIFEST, "body", str(why)) from None
    if faults := examine(tree, spec.Manifest):
        raise denied(DenyReason.INVALID_MANIFEST, faults)
    try:
        manifest = msgspec.convert(tree, spec.Manifest)
    except msgspec.ValidationError as error:
        raise denied(DenyReason.INVALID_MANIFEST, [_named(error)]) from None
    if faults := rules.check(manifest):
        raise denied(DenyReason.INVALID_MANIFEST, faults)
    return manifest


def _named(error: msgspec.ValidationError) -> FieldViolation:
    found = _AT.fullmatch(str(error))
    return (
        FieldViolation(found["field"], found["what"]) if found else FieldViolation("", str(error))
    )
