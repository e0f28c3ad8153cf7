"""Digests that name a request: the same words give the same digest on every machine.

A field that came with a later version is left out while it holds its default, so that a request
which was taken by an earlier version is still the same request.
"""

import hashlib
from typing import Any

import msgspec
import rfc8785

from supervisor.vm.spec import Algorithm, Dataset, Manifest

CAME_LATER = (
    ("restart",),
    ("network",),
    ("confidential",),
    ("result_recipients",),
    ("result_consumers",),
    ("agent",),
    ("algorithm", "encryption"),
    ("algorithm", "id"),
    ("limits", "inputs_deadline_ms"),
    ("vm", "firmware_vars"),
    ("vm", "watchdog"),
)
"""Where the fields stand that the first version did not have."""

CAME_LATER_IN_DATASETS = ("encryption", "id")


def manifest_digest(manifest: Manifest) -> str:
    """Return SHA-256, in hexadecimal, over the manifest's RFC 8785 JSON."""
    return _digest(_first_form(manifest))


def request_digest(manifest: Manifest, vm_id: str | None) -> str:
    """Return the digest of a whole submission: the manifest and the id that was asked for."""
    return _digest({"manifest": _first_form(manifest), "vm_id": vm_id})


def _first_form(manifest: Manifest) -> dict[str, Any]:
    form: dict[str, Any] = msgspec.to_builtins(manifest)
    for *sections, name in CAME_LATER:
        part, default = form, _DEFAULTS
        for section in sections:
            part, default = part[section], default[section]
        if part[name] == default[name]:
            del part[name]
    for dataset in form["datasets"]:
        for name in CAME_LATER_IN_DATASETS:
            if dataset[name] == _DEFAULT_DATASET[name]:
                del dataset[name]
    return form


def _digest(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: Any) -> bytes:
    """Return RFC 8785 JSON of a value without fractions, and with integers below 2^53."""
    text = msgspec.json.encode(value, order="sorted")
    # Names are sorted by UTF-16 there and by code point here, which differs beyond ASCII alone.
    return text if text.isascii() else rfc8785.dumps(value)


_DEFAULTS: dict[str, Any] = msgspec.to_builtins(Manifest("", Algorithm("")))
_DEFAULT_DATASET: dict[str, Any] = msgspec.to_builtins(Dataset("", ""))
