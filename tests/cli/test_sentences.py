"""Every event has its sentence, and no data of any version makes one fail."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.admission import events as admission
from supervisor.cli.sentences import SENTENCES, sentence, short_type
from supervisor.vm import events as vm

TAGS = [*vm.TAGS.values(), *admission.TAGS.values()]


def told(tag: str, data: dict[str, Any]) -> str:
    return sentence({"type": tag, "data": data})


def test_every_type_of_event_has_a_sentence() -> None:
    assert set(SENTENCES) == {*vm.TAGS, *admission.TAGS}


@pytest.mark.parametrize(
    ("tag", "data", "words"),
    [
        ("vm.submitted.v1", {"manifest": {"name": "iris"}}, "iris is submitted"),
        ("vm.qemu-spawned.v1", {"process": {"pid": 7}}, "QEMU runs as process 7"),
        ("vm.progress-reported.v1", {"fraction": 0.42, "message": "fit"}, "42% fit"),
        ("vm.computation-finished.v1", {"exit_code": 0}, "the algorithm ended with exit code 0"),
        (
            "vm.computation-finished.v1",
            {"exit_code": 127, "error": "no-python", "message": "no python3"},
            "the algorithm ended with exit code 127: no python3",
        ),
        (
            "vm.stop-escalated.v1",
            {"step": "terminate"},
            "the next step to its end: QEMU gets SIGTERM and has until ?",
        ),
        (
            "vm.stop-escalated.v1",
            {"step": "pray"},
            "the next step to its end: pray and has until ?",
        ),
        ("vm.guest-reset.v1", {"by_guest": False}, "the guest is reset and boots again"),
        ("vm.guest-reset.v1", {"by_guest": True}, "the machine resets itself once more"),
        ("vm.process-exited.v1", {"evidence": {"signal": 9}}, "QEMU was ended by signal 9"),
        ("vm.process-exited.v1", {"evidence": {"exit_code": 1}}, "QEMU exited with code 1"),
        ("vm.process-exited.v1", {}, "QEMU is gone; how it ended is not known"),
        (
            "vm.result-recorded.v1",
            {"size": 2048, "sha256": "ab" * 32},
            "the result is stored, 2.0 KiB, sha256 abababababab",
        ),
        ("vm.failed.v1", {"outcome": "qemu-crashed", "detail": "oh"}, "failed, qemu-crashed: oh"),
        (
            "vm.launch-ended.v1",
            {"launch": 1, "outcome": "qemu-crashed", "detail": "signal 11"},
            "launch 1 ended, qemu-crashed: signal 11; the next begins at ?",
        ),
        ("vm.gone-fishing.v9", {"a": 1}, '{"a": 1}'),
    ],
)
def test_an_event_is_told_in_words(tag: str, data: dict[str, Any], words: str) -> None:
    assert told(tag, data) == words


def test_what_a_guest_says_cannot_steer_a_terminal() -> None:
    line = told("vm.progress-reported.v1", {"fraction": 1.0, "message": "\x1b[2J\n\u202eevil"})

    assert line.isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
fields = st.sampled_from(
    ["launch", "manifest", "process", "evidence", "size", "sha256", "fraction", "deadline_ms"]
)


@given(st.sampled_from([*TAGS, "host.new.v1"]), st.dictionaries(fields, json_values))
def test_any_data_gives_one_printable_line(tag: str, data: dict[str, Any]) -> None:
    assert told(tag, data).isprintable()


def test_short_types_are_distinct() -> None:
    assert len({short_type(tag) for tag in TAGS}) == len(TAGS)
