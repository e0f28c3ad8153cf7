"""A computation of the Cocos manager -> a submission of ours; what is wrong keeps its old names."""

import hashlib
import re
from collections.abc import Iterator

import msgspec

from supervisor.cocos.computation import Computation, Party, Untranslatable
from supervisor.cocos.durations import GO_DURATION_TAKES, parse_go_duration
from supervisor.cocos.file_names import file_names
from supervisor.cocos.parties import pair, pairing_violations
from supervisor.vm.commands import FieldViolation
from supervisor.vm.field_rules import check_count
from supervisor.vm.input_rules import DATASETS
from supervisor.vm.ranges import range_of
from supervisor.vm.rules import (
    LABELS,
    check,
    check_idempotency_key,
    check_vm_id,
    label_violations,
)
from supervisor.vm.spec import (
    REFERENCE_BASE,
    REFERENCE_PYTHON,
    SECOND_MS,
    Algorithm,
    ByName,
    Dataset,
    Limits,
    Manifest,
    VmShape,
)
from supervisor.written.examine import shown

SHAPE = VmShape(initrd=(ByName(REFERENCE_BASE), ByName(REFERENCE_PYTHON)))
"""An algorithm that comes later may be a script of any kind, so the guest has Python with it."""

LIMITS = Limits()
TTL = range_of("limits.ttl_ms")
INPUTS_DEADLINE = range_of("limits.inputs_deadline_ms")
NAMELESS = "computation"

KEY_PREFIX = "cocos:"
"""Keeps ids of computations apart from the keys that other clients chose."""

THEIR_FIELDS = (
    (re.compile(r"algorithm\."), "algorithms[0]."),
    (re.compile(r"(datasets\[\d+\])\.name"), r"\1.id"),
)
"""Where what a rule of ours complains of stands in a computation of theirs."""


class Submission(msgspec.Struct, frozen=True):
    """A manifest; the key and the id that it is submitted with, where its id allows for them."""

    manifest: Manifest
    key: str | None
    vm_id: str | None


def translate(computation: Computation) -> Submission:
    """Return what to submit. Raises Untranslatable with every wrong field."""
    if wrong := (*_structure(computation), *_times(computation)):
        raise Untranslatable(*wrong)
    manifest = _manifest(computation)
    if violations := check(manifest):
        raise Untranslatable(*map(_in_their_words, violations))
    return Submission(manifest, _key(computation.id), _vm_id(computation.id))


def _structure(computation: Computation) -> Iterator[FieldViolation]:
    algorithms = computation.algorithms or ()
    if len(algorithms) != 1:
        told = f"got {len(algorithms)}; it takes exactly one algorithm: submit one computation each"
        yield FieldViolation("algorithms", told)
    else:
        beside = computation.algorithm_providers or ()
        yield from pairing_violations(
            "algorithms", algorithms, "algorithm_providers", beside, computation.owner
        )
    datasets, beside = computation.datasets or (), computation.dataset_providers or ()
    if too_many := tuple(check_count("datasets", len(datasets), 0, DATASETS)):
        yield from too_many  # none of them is looked at
        return
    yield from pairing_violations(
        "datasets", datasets, "dataset_providers", beside, computation.owner
    )


def _times(computation: Computation) -> Iterator[FieldViolation]:
    ttl, timeout = computation.ttl, shown(computation.timeout)
    if ttl is not None and (takes := TTL.takes_instead_of(ttl * SECOND_MS)):
        yield FieldViolation("ttl", f"got {shown(ttl)}; it takes {takes}, in seconds")
    try:
        deadline_ms = _inputs_deadline_ms(computation)
    except ValueError:
        yield FieldViolation("timeout", f"got {timeout}; it takes {GO_DURATION_TAKES}")
        return
    if takes := INPUTS_DEADLINE.takes_instead_of(deadline_ms):
        yield FieldViolation("timeout", f"got {timeout}; it takes {takes}")


def _inputs_deadline_ms(computation: Computation) -> int:
    written = computation.timeout
    return parse_go_duration(written) if written else LIMITS.inputs_deadline_ms


def _manifest(computation: Computation) -> Manifest:
    (algorithm,) = pair(
        computation.algorithms or (), computation.algorithm_providers or (), computation.owner
    )
    datasets = pair(
        computation.datasets or (), computation.dataset_providers or (), computation.owner
    )
    ttl = computation.ttl
    limits = Limits(
        ttl_ms=LIMITS.ttl_ms if ttl is None else ttl * SECOND_MS,
        inputs_deadline_ms=_inputs_deadline_ms(computation),
    )
    return Manifest(
        name=computation.name or NAMELESS,
        algorithm=Algorithm(provider=algorithm.provider, id=algorithm.id),
        description=computation.description,
        labels=_labels(computation.metadata or {}),
        datasets=tuple(_datasets(datasets)),
        vm=SHAPE,
        limits=limits,
        result_consumers=computation.result_consumers or (),
    )


def _datasets(parties: tuple[Party, ...]) -> Iterator[Dataset]:
    for party, name in zip(parties, file_names(each.id for each in parties), strict=True):
        yield Dataset(name, provider=party.provider, id=party.id)


def _labels(metadata: dict[str, object]) -> dict[str, str]:
    """Return what of the metadata fits into labels; the rest has no place here."""
    written = {key: _written(value) for key, value in metadata.items()}
    fit = {
        key: text
        for key, text in written.items()
        if text is not None and not any(label_violations({key: text}))
    }
    return dict(list(fit.items())[:LABELS])


def _written(value: object) -> str | None:
    match value:
        case str():
            return value
        case bool() | int() | float():
            return msgspec.json.encode(value).decode()
        case _:
            return None


def _in_their_words(violation: FieldViolation) -> FieldViolation:
    field = violation.field
    for ours, theirs in THEIR_FIELDS:
        field = ours.sub(theirs, field)
    return FieldViolation(field, violation.description)


def _key(computation_id: str) -> str | None:
    if not computation_id:
        return None
    key = f"{KEY_PREFIX}{computation_id}"
    if not check_idempotency_key(key):
        return key
    digest = hashlib.sha256(computation_id.encode(errors="replace")).hexdigest()
    return f"{KEY_PREFIX}sha256:{digest}"


def _vm_id(computation_id: str) -> str | None:
    return None if check_vm_id(computation_id) else computation_id
