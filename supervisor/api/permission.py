"""The one place where it is decided whether somebody may do what is asked.

An entrance names the action, and gets a caller with the reach of its role, or a refusal that names
the roles it takes. What the reach comes to for one VM is seen to by :mod:`.scope`.
"""

import uuid

from supervisor.access.roles import Action, Identity, Reach, roles_for
from supervisor.caller import Caller
from supervisor.vm.commands import CommandDenied, DenyReason


def permitted(identity: Identity, action: Action, traceparent: str = "") -> Caller:
    """Return the caller of a request for ``action``. Raises CommandDenied."""
    reach = identity.reach(action)
    if reach is Reach.NOTHING:
        takes = " or ".join(role.value for role in roles_for(action))
        raise CommandDenied(
            DenyReason.PERMISSION_DENIED,
            f"{identity.principal} has the role {identity.role.value}, and may not "
            f"{action.value}; that takes the role {takes}",
        )
    return Caller(identity.principal, identity.tenant, traceparent, uuid.uuid4().hex, reach)
