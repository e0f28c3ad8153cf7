"""What a manifest may hold: one table of limits, checked before anything is admitted.

Its types were checked where it was read; this module looks at values only. Every violation is
reported at once, each under the dotted path of its field.

================================  ==========================  ======================================
field                             takes                       because
================================  ==========================  ======================================
name, provider                    128 printable characters    they stand in one line of a table
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
result_recipients                 16, each name once          each gets a copy of a key
confidential                      see confidential_rules      a gap nobody sees is refused
the whole                         48 KiB                      it is an event, and those are < 64 KiB
================================  ==========================  ======================================
"""

import re
from collections.abc import Iterator

import msgspec

from supervisor.vm.commands import FieldViolation
from supervisor.vm.confidential_rules import confidential_violations
from supervisor.vm.network_rules import network_violations
from supervisor.vm.ranges import MILLISECONDS, RANGES, STOP_GRACE_MOST_MS, STOP_GRACE_TAKES
from supervisor.vm.spec import (
    KIB,
    Algorithm,
    ByDigest,
    Dataset,
    ImageRef,
    Manifest,
    Recipient,
    VmShape,
)

NAME_CHARACTERS = 128
DESCRIPTION_BYTES = 4096
LABELS = 64
ARGUMENTS = 256
ARGUMENT_BYTES = 4096
DATASETS = 64
DATASET_NAME_BYTES = 128
INITRD_LAYERS = 16
ENCRYPTION_CHARACTERS = 256
RECIPIENTS = 16
PUBLIC_KEY_BYTES = 2048
COMMAND_LINE_BYTES = 2000
MANIFEST_BYTES = 48 * KIB
IDEMPOTENCY_KEY_BYTES = 128

_DIGEST = re.compile(r"[0-9a-f]{64}")
_IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LABEL_PREFIX = re.compile(r"(?=.{1,253}/)[a-z0-9]([a-z0-9.-]*[a-z0-9])?/")
_LABEL_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_VM_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PRINTABLE_ASCII = re.compile(r"[ -~]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


def check(manifest: Manifest) -> tuple[FieldViolation, ...]:
    """Return everything that is wrong with the values of ``manifest``; empty if nothing is."""
    violations = tuple(_violations(manifest))
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
    return (_violation("vm_id", vm_id, takes),)


def check_idempotency_key(key: str) -> tuple[FieldViolation, ...]:
    """Return what is wrong with the key of a submission."""
    if 0 < len(key) <= IDEMPOTENCY_KEY_BYTES and _PRINTABLE_ASCII.fullmatch(key):
        return ()
    takes = f"1 to {IDEMPOTENCY_KEY_BYTES} printable ASCII characters"
    return (_violation("idempotency_key", key, takes),)


def check_stop_grace(grace_ms: int) -> tuple[FieldViolation, ...]:
    """Return what is wrong with the grace of one stop: it has the bounds of the limit."""
    if 0 <= grace_ms <= STOP_GRACE_MOST_MS:
        return ()
    return (
        FieldViolation(
            "grace_ms", f"got {grace_ms}; it takes {STOP_GRACE_TAKES}, in {MILLISECONDS}"
        ),
    )


def check_digest(field: str, sha256: str) -> Iterator[FieldViolation]:
    """Yield what is wrong with a SHA-256 in ``field``."""
    if not _DIGEST.fullmatch(sha256):
        yield _violation(field, sha256, "a SHA-256 as 64 lower-case hexadecimal digits")


def _violations(manifest: Manifest) -> Iterator[FieldViolation]:
    yield from _name(manifest.name)
    yield from _text("description", manifest.description, DESCRIPTION_BYTES)
    yield from _labels(manifest.labels)
    yield from _algorithm(manifest.algorithm)
    yield from _datasets(manifest.datasets)
    yield from _numbers(manifest)
    yield from _shape(manifest.vm)
    yield from network_violations(manifest.network)
    yield from _recipients(manifest.result_recipients)
    yield from confidential_violations(manifest)


def _name(name: str) -> Iterator[FieldViolation]:
    if not 0 < len(name) <= NAME_CHARACTERS or "/" in name or not name.isprintable():
        takes = f"1 to {NAME_CHARACTERS} characters without '/' and control characters"
        yield _violation("name", name, takes)


def _provider(field: str, provider: str) -> Iterator[FieldViolation]:
    if len(provider) > NAME_CHARACTERS or not provider.isprintable():
        takes = f"at most {NAME_CHARACTERS} characters without control characters"
        yield _violation(field, provider, takes)


def _text(field: str, text: str, limit: int) -> Iterator[FieldViolation]:
    if _SURROGATE.search(text) or "\0" in text:
        yield _violation(field, text, "Unicode text without NUL")
    elif len(text.encode()) > limit:
        yield FieldViolation(
            field, f"got {len(text.encode())} bytes of text; it takes at most {limit}"
        )


def _labels(labels: dict[str, str]) -> Iterator[FieldViolation]:
    yield from _count("labels", len(labels), 0, LABELS)
    for key, value in labels.items():
        if not _LABEL_PART.fullmatch(_LABEL_PREFIX.sub("", key, count=1)):
            takes = (
                "1 to 63 letters, digits, '-', '_' and '.', after an optional DNS prefix and '/'"
            )
            yield _violation("labels", key, f"keys of {takes}")
        if value and not _LABEL_PART.fullmatch(value):
            takes = "at most 63 letters, digits, '-', '_' and '.'"
            yield _violation(f"labels.{_quoted(key)[1:-1]}", value, takes)


def _algorithm(algorithm: Algorithm) -> Iterator[FieldViolation]:
    yield from check_digest("algorithm.sha256", algorithm.sha256)
    yield from _provider("algorithm.provider", algorithm.provider)
    yield from _encryption("algorithm.encryption", algorithm.encryption)
    yield from _count("algorithm.arguments", len(algorithm.arguments), 0, ARGUMENTS)
    for index, argument in enumerate(algorithm.arguments[:ARGUMENTS]):
        yield from _text(f"algorithm.arguments[{index}]", argument, ARGUMENT_BYTES)


def _datasets(datasets: tuple[Dataset, ...]) -> Iterator[FieldViolation]:
    yield from _count("datasets", len(datasets), 0, DATASETS)
    seen: set[str] = set()
    for index, dataset in enumerate(datasets[:DATASETS]):
        yield from _dataset_name(f"datasets[{index}].name", dataset.name, seen)
        yield from check_digest(f"datasets[{index}].sha256", dataset.sha256)
        yield from _provider(f"datasets[{index}].provider", dataset.provider)
        yield from _encryption(f"datasets[{index}].encryption", dataset.encryption)
        seen.add(dataset.name)


def _dataset_name(field: str, name: str, seen: set[str]) -> Iterator[FieldViolation]:
    if name in {"", ".", ".."} or "/" in name or not name.isprintable():
        yield _violation(field, name, "a file name without '/' and control characters")
    elif len(name.encode()) > DATASET_NAME_BYTES:
        yield _violation(field, name, f"at most {DATASET_NAME_BYTES} bytes")
    elif name in seen:
        yield _violation(field, name, "a name that no other dataset has")


def _encryption(field: str, encryption: str) -> Iterator[FieldViolation]:
    if len(encryption) > ENCRYPTION_CHARACTERS or not encryption.isprintable():
        takes = f"at most {ENCRYPTION_CHARACTERS} characters without control characters"
        yield _violation(field, encryption, takes)


def _recipients(recipients: tuple[Recipient, ...]) -> Iterator[FieldViolation]:
    yield from _count("result_recipients", len(recipients), 0, RECIPIENTS)
    seen: set[str] = set()
    for index, recipient in enumerate(recipients[:RECIPIENTS]):
        field = f"result_recipients[{index}]"
        if not recipient.name or recipient.name in seen:
            yield _violation(f"{field}.name", recipient.name, "a name that no other recipient has")
        yield from _provider(f"{field}.name", recipient.name)
        if not recipient.public_key:
            yield _violation(f"{field}.public_key", "", "a public key, as the guest reads it")
        yield from _text(f"{field}.public_key", recipient.public_key, PUBLIC_KEY_BYTES)
        seen.add(recipient.name)


def _numbers(manifest: Manifest) -> Iterator[FieldViolation]:
    for bound in RANGES:
        value = bound.value(manifest)
        if takes := bound.takes_instead_of(value):
            unit = f", in {bound.unit}" if bound.unit else ""
            yield FieldViolation(bound.field, f"got {value}; it takes {takes}{unit}")


def _shape(vm: VmShape) -> Iterator[FieldViolation]:
    yield from _image("vm.kernel", vm.kernel)
    yield from _count("vm.initrd", len(vm.initrd), 1, INITRD_LAYERS)
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
        yield _violation("vm.command_line", line, takes)


def _image(field: str, image: ImageRef) -> Iterator[FieldViolation]:
    if isinstance(image, ByDigest):
        yield from check_digest(f"{field}.sha256", image.sha256)
    elif not _IMAGE_NAME.fullmatch(image.name):
        takes = "a name of the catalogue: letters, digits, '.', '_' and '-', never a path"
        yield _violation(f"{field}.name", image.name, takes)


def _count(field: str, count: int, least: int, greatest: int) -> Iterator[FieldViolation]:
    if not least <= count <= greatest:
        yield FieldViolation(field, f"got {count} entries; it takes {least} to {greatest}")


def _violation(field: str, got: str, takes: str) -> FieldViolation:
    return FieldViolation(field, f"got {_quoted(got)}; it takes {takes}")


def _quoted(text: str) -> str:
    """Return text of a stranger's choosing in a form that is short and safe to show."""
    return repr(text) if len(text) <= 64 else f"{text[:60]!r}... ({len(text)} characters)"
