"""What every message that matters leads to where inputs come from several parties."""

from supervisor.vm import observations as ob
from supervisor.vm.commands import Delete, Kill, Pause, Reset, Resume, Start, Stop
from supervisor.vm.observations import TimerKind
from tests.vm.party_states import ALGORITHM, DATA, OTHER_DATA, STRANGE
from tests.vm.states import DIRECTORY, IMAGES, NOW
from tests.vm.tables import DUE, Row

INPUTS = (
    Row(
        DATA,
        {
            "waiting": "InputProvided",
            "withdrawn": "denied: wrong-phase",
            "dropped": "denied: vm-unknown",
        },
    ),
    Row(
        ALGORITHM,
        {
            "waiting": "InputProvided",
            "halfway revived": "InputProvided -> Reserve",
            "overdue withdrawn": "denied: wrong-phase",
            "dropped": "denied: vm-unknown",
        },
    ),
    Row(
        OTHER_DATA,
        {
            "waiting": "InputProvided",
            "halfway complete overdue revived shared": "denied: input-already-provided",
            "withdrawn": "denied: wrong-phase",
            "dropped": "denied: vm-unknown",
        },
    ),
    Row(
        STRANGE,
        {
            "waiting halfway complete overdue withdrawn revived shared": "denied: input-unknown",
            "dropped": "denied: vm-unknown",
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.INPUTS, DUE),
        {"waiting halfway revived": "VmFailed(inputs-deadline)"},
    ),
    Row(ob.TimerFired(0, TimerKind.INPUTS, NOW - 1)),
    Row(
        Start(),
        {
            "overdue withdrawn": "StartOrdered, InputsAwaited -> ArmTimer(inputs)",
            "shared": "StartOrdered -> ReleaseLaunch, Reserve",
            "dropped": "denied: vm-unknown",
        },
    ),
    Row(
        Stop(),
        {
            "waiting halfway complete revived": "VmStopped(stopped-by-client)",
            "dropped": "denied: vm-unknown",
        },
    ),
    Row(
        Kill(),
        {
            "waiting halfway complete revived": "VmStopped(killed-by-client)",
            "dropped": "denied: vm-unknown",
        },
    ),
    Row(
        Delete(),
        {
            "waiting halfway revived": (
                "VmStopped(stopped-by-client), DeleteOrdered -> RemoveFiles"
            ),
            "complete": "denied: wrong-phase",
            "overdue withdrawn shared": "DeleteOrdered -> RemoveFiles",
            "dropped": "denied: vm-unknown",
        },
    ),
    *(
        Row(
            order,
            {
                "waiting halfway complete overdue withdrawn revived shared": "denied: wrong-phase",
                "dropped": "denied: vm-unknown",
            },
        )
        for order in (Pause(), Resume(), Reset())
    ),
    Row(ob.Reserved(0, ()), {"complete": "-> PrepareLaunch"}),
    Row(ob.Queued(0, ticket=3), {"complete": "Queued"}),
    Row(
        ob.LaunchPrepared(0, DIRECTORY, IMAGES, "tcg"),
        {
            "complete": "LaunchIntended -> SpawnQemu, ArmTimer(launch)",
            "waiting halfway overdue withdrawn revived shared": "-> ReleaseLaunch",
        },
    ),
)
