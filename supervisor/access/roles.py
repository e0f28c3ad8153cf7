"""Who may do what: one table of roles and actions, and what a role reaches by each.

Pure. Every call of gRPC, operation of HTTP and path of WebSocket names its :class:`Action`; what is
not in the table is permitted to nobody.
"""

from collections.abc import Mapping
from enum import Enum

import msgspec


class Role(Enum):
    """What somebody is to this daemon."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"
    PARTY = "party"
    ADMIN = "admin"


class Reach(Enum):
    """Whose VMs an action reaches. Other VMs are not there, as far as the caller can tell."""

    NOTHING = "nothing"
    OWN = "own"
    """Those that the caller submitted."""
    CONCERNED = "concerned"
    """Its own, and those whose manifests name it as a provider or consumer."""
    TENANT = "tenant"
    """Those of its tenant."""
    EVERYTHING = "everything"


class Action(Enum):
    """What can be asked for."""

    SUBMIT = "submit"
    UPLOAD = "upload"
    GET_VM = "get a VM"
    LIST_VMS = "list VMs"
    START = "start"
    STOP = "stop"
    KILL = "kill"
    DELETE = "delete"
    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"
    PROVIDE_INPUT = "provide an input"
    FETCH_RESULT = "fetch a result"
    FETCH_CONSOLE = "read a console"
    ATTACH_CONSOLE = "type on a console"
    FETCH_TRANSCRIPT = "read a transcript"
    PROVIDE_SESSION = "provide a session"
    RELEASE_LAUNCH = "approve or reject a launch"
    GET_REPORT = "get an attestation report"
    GET_PLATFORM = "ask for the platform"
    WATCH_EVENTS = "watch events"
    GET_LOG = "get a checkpoint of the log"
    GET_METRICS = "get metrics"
    PROBE = "probe"
    DESCRIBE = "describe the API"


PUBLIC = frozenset({Action.PROBE, Action.DESCRIBE})
"""They tell nothing that is worth a token: on loopback nobody is asked for one."""

_SIGHT = frozenset(
    {
        Action.GET_VM,
        Action.LIST_VMS,
        Action.WATCH_EVENTS,
    }
)
_READ = _SIGHT | {
    Action.FETCH_CONSOLE,
    Action.FETCH_TRANSCRIPT,
    Action.GET_PLATFORM,
    Action.GET_LOG,
}
_ORDERS = frozenset(
    {
        Action.START,
        Action.STOP,
        Action.KILL,
        Action.DELETE,
        Action.PAUSE,
        Action.RESUME,
        Action.RESET,
        Action.ATTACH_CONSOLE,
    }
)
_SECRETS = frozenset({Action.PROVIDE_SESSION, Action.RELEASE_LAUNCH, Action.GET_REPORT})
_SHARED = _SIGHT | {Action.PROVIDE_INPUT, Action.FETCH_RESULT}
"""What parties of one computation have in common."""


def _row(cells: Mapping[Reach, frozenset[Action]]) -> Mapping[Action, Reach]:
    return {action: reach for reach, actions in cells.items() for action in actions}


PERMITTED: Mapping[Role, Mapping[Action, Reach]] = {
    Role.VIEWER: _row({Reach.TENANT: PUBLIC | _READ | {Action.GET_METRICS}}),
    Role.OPERATOR: _row({Reach.TENANT: PUBLIC | _READ | _ORDERS | {Action.GET_METRICS}}),
    Role.OWNER: _row(
        {
            Reach.OWN: (PUBLIC | _READ | _ORDERS | _SECRETS | {Action.SUBMIT, Action.UPLOAD})
            - _SHARED,
            Reach.CONCERNED: _SHARED,
        }
    ),
    Role.PARTY: _row({Reach.CONCERNED: PUBLIC | _SHARED | {Action.UPLOAD}}),
    Role.ADMIN: _row({Reach.EVERYTHING: frozenset(Action)}),
}
"""Role x action. Operators run machines and see no results; owners see to computations."""


class Identity(msgspec.Struct, frozen=True):
    """Somebody who proved who they are. A principal's name goes into the log with what it does."""

    principal: str
    tenant: str
    role: Role

    def reach(self, action: Action) -> Reach:
        """Return whose VMs this one reaches by ``action``."""
        return PERMITTED[self.role].get(action, Reach.NOTHING)


def roles_for(action: Action) -> tuple[Role, ...]:
    """Return the roles to which an action is permitted."""
    return tuple(role for role in Role if action in PERMITTED[role])
