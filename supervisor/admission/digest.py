"""Digests that name a request: the same words give the same digest on every machine."""

import hashlib

import msgspec
import rfc8785

from supervisor.vm.spec import Manifest


def manifest_digest(manifest: Manifest) -> str:
    """Return SHA-256, in hexadecimal, over the manifest's RFC 8785 JSON."""
    return _digest(msgspec.to_builtins(manifest))


def request_digest(manifest: Manifest, vm_id: str | None) -> str:
    """Return the digest of a whole submission: the manifest and the id that was asked for."""
    return _digest({"manifest": msgspec.to_builtins(manifest), "vm_id": vm_id})


def _digest(value: object) -> str:
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()  # type: ignore[arg-type]  # JSON types
