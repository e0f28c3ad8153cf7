"""What a manifest may hold: one table of limits, checked before anything is admitted.

Its types were checked where it was read; this module looks at values only. Every violation is
reported at once, each under the dotted path of its field.

================================  ==========================  ======================================
field                             takes                       because
================================  ==========================  ======================================
name, provider, id                128 printable characters    they stand in one line of a table
description                       4096 bytes                  it is a note, not a document
labels                            64, Kubernetes' syntax      selectors of other tools apply as is
algorithm.arguments               256, each 4096 bytes        a command line, not a data channel
datasets                          64, names of files          each is one entry of the inputs disk
vm.cpus                           1 to 64                     beyond it lies another class of host
vm.memory_bytes                   64 MiB to 4 TiB, whole MiB  less cannot boot; more is a slip
vm.initrd                         1 to 16 layers              they are concatenated at each launch
vm.command_line                   2000 printable ASCII        x86 kernels take 2048 with our part
limits, restart                   see :data:`RANGES`          a slip of a unit is caught
network.forwards                  16, each port once          each is a listening socket of QEMU
encryption                        256 printable characters    it is a hint for the guest
an input without a digest         a provider; each name once  somebody is to bring it
result_recipients                 16, each name once          each gets a copy of a key
result_consumers                  16, each name once          they are few who get a result
agent                             see agent_rules             what is never ready is refused
confidential                      see confidential_rules      a gap nobody sees is refused
the whole                         48 KiB                      it is an event, and those are < 64 KiB
================================  ==========================  ======================================
"""

import re
from collections.abc import Iterator
from itertools import islice

import msgspec

from supervisor.vm.agent_rules import agent_violations
from supervisor.vm.commands import FieldViolation
from supervisor.vm.confidential_rules import confidential_violations
from supervisor.vm.field_rules import (
    NAME_CHARACTERS,
    VIOLATIONS,
    check_count,
    check_digest,
    check_label,
    check_text,
    quoted,
    violation,
)
from supervisor.vm.input_rules import input_violations
from supervisor.vm.network_rules import network_violations
from supervisor.vm.ranges import MILLISECONDS, RANGES, STOP_GRACE_MOST_MS, STOP_GRACE_TAKES
from supervisor.vm.spec import (
    KIB,
    ByDigest,
    ImageRef,
    Manifest,
    Recipient,
    VmShape,
)

DESCRIPTION_BYTES = 4096
LABELS = 64
INITRD_LAYERS = 16
RECIPIENTS = 16
CONSUMERS = 16
PUBLIC_KEY_BYTES = 2048
COMMAND_LINE_BYTES = 2000
MANIFEST_BYTES = 48 * KIB
IDEMPOTENCY_KEY_BYTES = 128

_IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LABEL_PREFIX = re.compile(r"\A(?=.{1,253}/)[a-z0-9]([a-z0-9.-]*[a-z0-9])?/")
_LABEL_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_VM_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PRINTABLE_ASCII = re.compile(r"[ -~]*")


def check(manifest: Manifest) -> tuple[FieldViolation, ...]:
    """Return what is wrong with the values of ``manifest``, up to a bound; empty if nothing is."""
    violations = tuple(islice(_violations(manifest), VIOLATIONS))
    if violations:
        return violations
    size = len(msgspec.msgpack.encode(manifest))
    if size <= MANIFEST_BYTES:
        return ()
    whole = f"the whole manifest has {size} bytes; it takes at most {MANIFEST_BYTES}"
    return (FieldViolation("", f"{whole}: put long arguments into a dataset"),)


def check_vm_id(vm_id: str) -> tuple[FieldViolation, ...]:
    """Return what is wrong with an id that a client chose: an RFC 1123 label, so 63 characters."""
    if _VM_ID.fullmatch(vm_id):
        return ()
    takes = "1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends"
    return (violation("vm_id", vm_id, takes),)


def check_idempotency_key(key: str) -> tuple[FieldViolation, ...]:
    """Return what is wrong with the key of a submission."""
    if 0 < len(key) <= IDEMPOTENCY_KEY_BYTES and _PRINTABLE_ASCII.fullmatch(key):
        return ()
    takes = f"1 to {IDEMPOTENCY_KEY_BYTES} printable ASCII characters"
    return (violation("idempotency_key", key, takes),)


def check_stop_grace(grace_ms: int) -> tuple[FieldViolation, ...]:
    """Return what is wrong with the grace of one stop: it has the bounds of the limit."""
    if 0 <= grace_ms <= STOP_GRACE_MOST_MS:
        return ()
    return (
        FieldViolation(
            "grace_ms", f"got {grace_ms}; it takes {STOP_GRACE_TAKES}, in {MILLISECONDS}"
        ),
    )


def _violations(manifest: Manifest) -> Iterator[FieldViolation]:
    yield from _name(manifest.name)
    yield from check_text("description", manifest.description, DESCRIPTION_BYTES)
    yield from label_violations(manifest.labels)
    yield from input_violations(manifest)
    yield from _numbers(manifest)
    yield from _shape(manifest.vm)
    yield from network_violations(manifest)
    yield from agent_violations(manifest)
    yield from _recipients(manifest.result_recipients)
    yield from _consumers(manifest.result_consumers)
    yield from confidential_violations(manifest)


def _name(name: str) -> Iterator[FieldViolation]:
    if not 0 < len(name) <= NAME_CHARACTERS or "/" in name or not name.isprintable():
        takes = f"1 to {NAME_CHARACTERS} characters without '/' and control characters"
        yield violation("name", name, takes)


def label_violations(labels: dict[str, str]) -> Iterator[FieldViolation]:
    """Yield what is wrong with labels."""
    yield from check_count("labels", len(labels), 0, LABELS)
    for key, value in labels.items():
        if not _LABEL_PART.fullmatch(_LABEL_PREFIX.sub("", key, count=1)):
            takes = (
                "1 to 63 letters, digits, '-', '_' and '.', after an optional DNS prefix and '/'"
            )
            yield violation("labels", key, f"keys of {takes}")
        if value and not _LABEL_PART.fullmatch(value):
            takes = "at most 63 letters, digits, '-', '_' and '.'"
            yield violation(f"labels.{quoted(key)[1:-1]}", value, takes)


def _recipients(recipients: tuple[Recipient, ...]) -> Iterator[FieldViolation]:
    yield from check_count("result_recipients", len(recipients), 0, RECIPIENTS)
    seen: set[str] = set()
    for index, recipient in enumerate(recipients[:RECIPIENTS]):
        field = f"result_recipients[{index}]"
        if not recipient.name or recipient.name in seen:
            yield violation(f"{field}.name", recipient.name, "a name that no other recipient has")
        yield from check_label(f"{field}.name", recipient.name)
        if not recipient.public_key:
            yield violation(f"{field}.public_key", "", "a public key, as the guest reads it")
        yield from check_text(f"{field}.public_key", recipient.public_key, PUBLIC_KEY_BYTES)
        seen.add(recipient.name)


def _consumers(consumers: tuple[str, ...]) -> Iterator[FieldViolation]:
    yield from check_count("result_consumers", len(consumers), 0, CONSUMERS)
    for index, consumer in enumerate(consumers[:CONSUMERS]):
        yield from check_label(f"result_consumers[{index}]", consumer, 1)
        if consumer in consumers[:index]:
            takes = "a name that no other consumer has"
            yield violation(f"result_consumers[{index}]", consumer, takes)


def _numbers(manifest: Manifest) -> Iterator[FieldViolation]:
    for bound in RANGES:
        value = bound.value(manifest)
        if takes := bound.takes_instead_of(value):
            unit = f", in {bound.unit}" if bound.unit else ""
            yield FieldViolation(bound.field, f"got {value}; it takes {takes}{unit}")


def _shape(vm: VmShape) -> Iterator[FieldViolation]:
    yield from _image("vm.kernel", vm.kernel)
    yield from check_count("vm.initrd", len(vm.initrd), 1, INITRD_LAYERS)
    for index, layer in enumerate(vm.initrd[:INITRD_LAYERS]):
        yield from _image(f"vm.initrd[{index}]", layer)
    if vm.firmware is not None:
        yield from _image("vm.firmware", vm.firmware)
    if vm.firmware_vars is not None:
        yield from _image("vm.firmware_vars", vm.firmware_vars)
        if vm.firmware is None:
            yield FieldViolation("vm.firmware_vars", "is given without vm.firmware, whose they are")
    line = vm.command_line
    if len(line) > COMMAND_LINE_BYTES or not _PRINTABLE_ASCII.fullmatch(line):
        takes = f"at most {COMMAND_LINE_BYTES} printable ASCII characters"
        yield violation("vm.command_line", line, takes)


def _image(field: str, image: ImageRef) -> Iterator[FieldViolation]:
    if isinstance(image, ByDigest):
        yield from check_digest(f"{field}.sha256", image.sha256)
    elif not _IMAGE_NAME.fullmatch(image.name):
        takes = "a name of the catalogue: letters, digits, '.', '_' and '-', never a path"
        yield violation(f"{field}.name", image.name, takes)
