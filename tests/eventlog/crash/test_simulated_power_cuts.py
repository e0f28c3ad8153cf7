"""Layer 1 under Hypothesis: whatever survives a cut, nothing acknowledged is lost."""

import random
from itertools import product

import pytest
from chronovisor_crash import damage, injection, kill, mutants, powercut, simulation
from chronovisor_crash.broken_writers import NoDataSync
from chronovisor_crash.findings import SOUND
from chronovisor_crash.mutants import Mutant
from chronovisor_crash.simulated_disk import PowerCut, SimulatedDisk
from chronovisor_crash.simulation import Trial
from chronovisor_crash.workload import Appender, batch, silently, whole_batches
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog import CorruptLog
from eventlog.offline import read_storage
from eventlog.storage import Storage

CASES = 1000
LIFE_OPERATIONS = 70
RECOVERY_OPERATIONS = 40
"""More than a life of five batches, with a rollover, and a recovery take."""

MUTANTS = {
    mutant.name: mutant
    for layer in (simulation, damage, kill, injection, powercut)
    for mutant in layer.MUTANTS
}


@settings(max_examples=CASES, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_power_cut_loses_or_changes_what_was_acknowledged(chance: random.Random) -> None:
    finding = Trial(chance, mutants.NONE).run()
    assert finding.outcome in SOUND, finding


@pytest.mark.parametrize("mutant", simulation.MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant) -> None:
    outcomes = (finding.outcome for finding in simulation.trials(mutant, seed=1))
    assert any(outcome not in SOUND for outcome in outcomes)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_does_no_harm_where_nothing_happens(mutant: Mutant) -> None:
    disk = SimulatedDisk()
    for life in range(3):
        mutant.reading(disk)
        appender = Appender(mutant.writing(disk))
        for number in range(8 * life, 8 * life + 8):
            mutant.append(appender, number, silently)
        appender.close()
    assert whole_batches(list(read_storage(disk))) == 24


def _written(disk: Storage, batches: int) -> None:
    appender = Appender(disk)
    for number in range(batches):
        appender.append(batch(number), silently)
    appender.close()


def test_every_operation_can_be_the_last() -> None:
    """The simulation itself: cuts fall on all operations, in recovery too, and end a life."""
    for operation in range(1, 200):
        disk = SimulatedDisk()
        disk.cut_at(operation)
        try:
            _written(disk, 6)
        except PowerCut:
            with pytest.raises(PowerCut):
                disk.names()
        else:
            assert operation > 30
            return
    pytest.fail("no cut was beyond the last operation")


def test_what_was_synced_survives_and_nothing_else_when_nothing_does() -> None:
    disk = SimulatedDisk()
    for name in ("synced", "unsynced"):
        file = disk.create(name)
        file.pwrite(b"first", 0)
        file.fsync()
        disk.fsync_dir()
        file.pwrite(b"other", 0)
        if name == "synced":
            file.fdatasync()
    disk.create("unnamed").fsync()
    disk.rename("synced", "renamed")
    disk.lose_power(random.Random(1), survives=0.0)
    assert disk.snapshot() == {"synced": b"other", "unsynced": b"first"}


def test_all_that_was_cached_may_survive() -> None:
    disk = SimulatedDisk()
    disk.create("a").pwrite(b"data", 0)
    disk.rename("a", "b")
    disk.lose_power(random.Random(1), survives=1.0)
    assert disk.snapshot() == {"b": b"data"}


def test_a_created_file_may_be_found_empty() -> None:
    found = set()
    for seed in range(40):
        disk = SimulatedDisk()
        disk.create("a").pwrite(b"data", 0)
        disk.lose_power(random.Random(seed), survives=0.5)
        found.add(disk.snapshot().get("a"))
    assert found == {None, b"", bytes(4), b"data"}


def test_a_disk_that_lies_is_found_out_by_the_tip_that_survived() -> None:
    disk = SimulatedDisk()
    _written(NoDataSync(disk), 3)
    tip = disk.snapshot()["tip"]
    disk.lose_power(random.Random(1), survives=0.0)
    lost = SimulatedDisk({**disk.snapshot(), "tip": tip})
    with pytest.raises(CorruptLog, match="events were acknowledged, 0 are here"):
        Appender(lost)


def _killed_at(disk: SimulatedDisk, operation: int, batches: int) -> bool:
    """One life with a kill at this operation; whether it came so far."""
    disk.cut_at(operation)
    try:
        _written(disk, batches)
    except PowerCut:
        return True
    finally:
        disk.kill()
    return False


def test_what_recovery_saw_in_the_page_cache_only_is_durable_before_the_log_goes_on() -> None:
    """Killed anywhere, killed again anywhere in recovery, recovered, and then the power is cut."""
    for first, second in product(range(1, LIFE_OPERATIONS), range(1, RECOVERY_OPERATIONS)):
        disk = SimulatedDisk()
        was_killed = _killed_at(disk, first, 5), _killed_at(disk, second, 0)
        Appender(disk).close()
        shown = list(read_storage(disk))
        disk.lose_power(random.Random(1), survives=0.0)
        Appender(disk).close()
        assert list(read_storage(disk)) == shown, (first, second)
    assert was_killed == (False, False)
