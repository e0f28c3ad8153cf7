"""The page of faults is what the marks of the tests say, and leaves none out."""

import subprocess
import sys

from tests.known_faults import FAULTS, MET_ELSEWHERE, proofs
from tests.source_tree import ROOT


def test_every_fault_has_a_test_and_every_mark_a_fault() -> None:
    assert set(proofs()) == {fault.id for fault in FAULTS}


def test_faults_are_told_apart_by_their_ids() -> None:
    assert len({fault.id for fault in FAULTS}) == len(FAULTS)


def test_of_what_was_met_elsewhere_it_is_told_where() -> None:
    assert [fault.id for fault in MET_ELSEWHERE if not fault.seen] == []


def test_marks_stand_on_tests_only() -> None:
    named = [proof for tests in proofs().values() for proof in tests]
    assert [proof for proof in named if not proof.test.startswith("test_")] == []


def test_the_page_is_up_to_date() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "tools" / "fault_table", "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (check.returncode, check.stderr) == (0, "")
