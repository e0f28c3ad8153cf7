"""One state for each place in a VM's life, each reached by real messages and real events."""

import msgspec

from supervisor.vm import observations as ob
from supervisor.vm.awaiting import inputs_awaited
from supervisor.vm.commands import Command, Delete, Kill, Pause, Reset, Start, Stop
from supervisor.vm.decide import decide
from supervisor.vm.events import ComputationSubmitted
from supervisor.vm.evolve import define, fold
from supervisor.vm.observations import Observation
from supervisor.vm.spec import Algorithm, Dataset, Limits, Manifest, RestartOn, RestartPolicy
from supervisor.vm.state import VmState

NOW = 1_700_000_000_000
LATER = NOW + 1000

SHA256 = "ab" * 32
DIRECTORY = "/state/vms/iris/launch-1"
PROCESS = ob.ProcessIdentity(pid=4711, start_ticks=99, boot_id="boot")
EVIDENCE = ("launch lock held", "query-uuid")
EXIT = ob.ExitEvidence(exit_code=0)
CRASH = ob.ExitEvidence(signal=11, stderr="qemu: out of luck\n")

MANIFEST = Manifest(
    name="iris",
    algorithm=Algorithm(SHA256),
    datasets=(Dataset("iris.csv", SHA256),),
    limits=Limits(ttl_ms=60_000, launch_deadline_ms=30_000, stop_grace_ms=7_000),
)
BACKOFF_MS = 2000
RESTARTED = msgspec.structs.replace(
    MANIFEST,
    restart=RestartPolicy(RestartOn.FAILURE, max_restarts=2, backoff_ms=BACKOFF_MS),
)
IMAGES = ob.LaunchImages(
    qemu=ob.Image("/usr/bin/qemu-system-x86_64", SHA256, 1),
    kernel=ob.Image("/images/vmlinuz", SHA256, 2, "reference-kernel"),
    initrd=ob.Image("/images/initrd", SHA256, 3),
    initrd_layers=(ob.Image("/images/initrd", SHA256, 3, "reference-base"),),
    inputs=ob.Image(f"{DIRECTORY}/inputs.tar", SHA256, 4),
)


def defined(manifest: Manifest = MANIFEST) -> VmState:
    """A VM whose submission is durable, with what it awaits, and nothing more."""
    submitted = ComputationSubmitted(manifest, SHA256)
    state = define(submitted, NOW, vm_id="iris", tenant="local", principal="uid:1000")
    awaited = inputs_awaited(manifest, (), NOW)
    return fold(state, (awaited,), NOW) if awaited else state


def after(state: VmState, *messages: Command | Observation, now_ms: int = NOW) -> VmState:
    """Decide and fold ``messages`` one after another."""
    for message in messages:
        state = fold(state, decide(state, message, now_ms).events, now_ms)
    return state


PREPARED = ob.LaunchPrepared(1, DIRECTORY, IMAGES, "tcg")
SPAWNED = ob.QemuSpawned(1, PROCESS)
QMP_READY = ob.QmpReady(1, "7.2.0")
RESUMED = ob.GuestResumed(1)
FROZEN = ob.GuestStopped(1)
AGENT_READY = ob.AgentReady(1, seq=1)
AGENT_STARTED = ob.AgentStarted(1, seq=2)
FINISHED = ob.AgentFinished(1, seq=3, exit_code=0, length=2048)
EXITED = ob.ProcessExited(1, EXIT)
COLLECTED = ob.ResultCollected(1, SHA256, 2048, exit_code=0)

TO_COMPUTING = (PREPARED, SPAWNED, QMP_READY, RESUMED, AGENT_READY, AGENT_STARTED)
TO_STOPPED = (*TO_COMPUTING, FINISHED, EXITED, COLLECTED)
TO_BACKOFF = (*TO_COMPUTING, ob.ProcessExited(1, CRASH))
ELAPSED = ob.TimerFired(2, ob.TimerKind.BACKOFF, NOW + BACKOFF_MS)

STORIES: dict[str, tuple[Command | Observation, ...]] = {
    "defined": (),
    "queued": (ob.Queued(1, ticket=7),),
    "launching": (PREPARED,),
    "spawned": (PREPARED, SPAWNED, QMP_READY),
    "booting": (PREPARED, SPAWNED, QMP_READY, RESUMED),
    "computing": TO_COMPUTING,
    "sleeping": (*TO_COMPUTING, ob.GuestSuspended(1)),
    "resetting": (*TO_COMPUTING, Reset()),
    "paused": (*TO_COMPUTING, Pause(), FROZEN),
    "asked": (*TO_COMPUTING, Stop()),
    "quitting": (*TO_COMPUTING, FINISHED),
    "killing": (*TO_COMPUTING, Kill()),
    "crashing": (*TO_COMPUTING, ob.GuestPanicked(1)),
    "collecting": (*TO_COMPUTING, FINISHED, EXITED),
    "backoff": TO_BACKOFF,
    "again": (*TO_BACKOFF, ELAPSED),
    "stopped": TO_STOPPED,
    "failed": (*TO_COMPUTING, ob.ProcessExited(1, CRASH)),
    "started": (*TO_STOPPED, Start()),
    "deleting": (*TO_STOPPED, Delete()),
    "deleted": (*TO_STOPPED, Delete(), ob.FilesRemoved(1)),
}
"""Where a VM may be, finer than its phase where that decides:

queued      others run, or wait before it   asked       ordered to stop: the guest was asked to end
launching   intended, no process yet        quitting    finished: QEMU was told to quit
spawned     QMP answers, CPUs do not run    killing     ordered to die: SIGKILL was sent
booting     CPUs run, no word of the agent  crashing    panicked: QEMU was told to quit, and another
computing   the agent said "started"                    launch is to follow
sleeping    the same, and S3                collecting  QEMU is gone, the result is being read
resetting   a reset was ordered             again       the wait of its restart policy is over
paused      frozen as ordered               started     ended, and was started by a client
                                            deleting    ended, and its files are being removed
"""

MANIFESTS = {"crashing": RESTARTED, "backoff": RESTARTED, "again": RESTARTED}
"""Of the stories that need another than MANIFEST."""

STATES: dict[str, VmState] = {
    name: after(defined(MANIFESTS.get(name, MANIFEST)), *story) for name, story in STORIES.items()
}

COMPUTING = STATES["computing"]
QUITTING = STATES["quitting"]
