"""One state for each place in the life of a VM whose inputs come from several parties."""

import msgspec

from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, Delete, ProvideInput, Start, Stop
from supervisor.vm.observations import Observation, TimerKind
from supervisor.vm.spec import Algorithm, Dataset
from supervisor.vm.state import VmState
from tests.vm.states import MANIFEST, NOW, RESTARTED, SHA256, TO_STOPPED, after, defined

INPUTS_MS = 90_000
SHARED = msgspec.structs.replace(
    RESTARTED,
    algorithm=Algorithm(provider="Alice"),
    datasets=(Dataset("iris.csv", provider="Bob", id="iris"), Dataset("plain.csv", SHA256)),
    limits=msgspec.structs.replace(MANIFEST.limits, inputs_deadline_ms=INPUTS_MS),
    result_consumers=("uid:1002",),
)

ALGORITHM = ProvideInput("Alice", "algorithm", "a1" * 32, 10)
DATA = ProvideInput("Bob", "iris", "b0" * 32, 20)
OTHER_DATA = ProvideInput("Bob", "iris", "b1" * 32, 21)
STRANGE = ProvideInput("Mallory", "iris", "cc" * 32, 30)
OVERDUE = ob.TimerFired(1, TimerKind.INPUTS, NOW + INPUTS_MS)

PARTY_STORIES: dict[str, tuple[Command | Observation, ...]] = {
    "waiting": (),
    "halfway": (DATA,),
    "complete": (DATA, ALGORITHM),
    "overdue": (DATA, OVERDUE),
    "withdrawn": (Stop(),),
    "revived": (DATA, OVERDUE, Start()),
    "shared": (ALGORITHM, DATA, *TO_STOPPED),
    "dropped": (DATA, Stop(), Delete(), ob.FilesRemoved(0)),
}
"""waiting   nobody has brought anything     withdrawn  stopped while it waited
halfway   one of the two came             revived    overdue, and was started by a client
complete  both came, nothing is prepared  shared     it ran, and ended with its work done
overdue   the deadline passed             dropped    deleted
"""

PARTIES: dict[str, VmState] = {
    name: after(defined(SHARED), *story) for name, story in PARTY_STORIES.items()
}
