"""Who has a bearer token or a certificate: names, roles, and what is kept of a token.

A token is 256 random bits, so a plain SHA-256 of it gives nothing away: there is no dictionary to
try, as there is of passwords, and slow hashes would only slow every request down. Pure.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Annotated

import msgspec

from supervisor.access.roles import Identity, Role
from supervisor.vm.commands import CommandDenied, DenyReason

TENANT = "default"
"""Whose VMs there are where nobody tells tenants apart."""

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._@-]{0,126}[A-Za-z0-9])?")
"""No colon: `uid:0` and `token:default` are principals that nobody can be given the name of."""
NAME_TAKES = "1 to 128 letters, digits, spaces and ._@-, with a letter or digit at both ends"
TENANT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
TENANT_TAKES = "1 to 63 lower-case letters, digits and -, as a VM's id does"
RESERVED_TENANTS = frozenset({"host"})
"""What the daemon itself writes into the log belongs to it."""

LATEST_MS = 253_402_300_799_999
"""The last moment of the year 9999: later ones have no date, and nobody could be shown them."""
Instant = Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)]


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A principal and its role. Times are in milliseconds since 1970.

    ``sha256`` is that of its token, in hex; empty for one that shows a certificate of that name.
    """

    name: str
    role: Role
    created_ms: Instant
    tenant: str = TENANT
    sha256: str = ""
    expires_ms: Instant | None = None
    revoked_ms: Instant | None = None

    @property
    def identity(self) -> Identity:
        """Who this is."""
        return Identity(self.name, self.tenant, self.role)

    @property
    def is_well_named(self) -> bool:
        """Whether nobody else has these names: no other principal, and not the daemon itself."""
        tenant_is_free = self.tenant not in RESERVED_TENANTS
        fit = NAME.fullmatch(self.name) and TENANT_NAME.fullmatch(self.tenant)
        return fit is not None and tenant_is_free


class Grants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that were ever given, by name."""

    grants: tuple[Grant, ...] = ()

    def find(self, name: str) -> Grant | None:
        """Return the grant of a principal, valid or not."""
        return next((grant for grant in self.grants if grant.name == name), None)

    def with_grant(self, grant: Grant) -> "Grants":
        """Return these and one more, which takes the place of an earlier one of its name."""
        others = (each for each in self.grants if each.name != grant.name)
        return Grants((*others, grant))


def digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def by_token(grants: Iterable[Grant], token: str, now_ms: int) -> Identity | None:
    """Return who a token belongs to, if anybody. Raises CommandDenied for one that is void."""
    kept = digest(token)
    found = None
    for grant in grants:  # all of them, so that the time says nothing of their order
        if grant.sha256 and hmac.compare_digest(grant.sha256, kept):
            found = grant
    return None if found is None else _valid(found, now_ms, "token")


def by_certificate(grants: Iterable[Grant], names: Iterable[str], now_ms: int) -> Identity | None:
    """Return whom the first name of a certificate that was granted a role stands for, if any."""
    granted = {grant.name: grant for grant in grants if not grant.sha256}
    found = next((granted[name] for name in names if name in granted), None)
    return None if found is None else _valid(found, now_ms, "certificate")


def _valid(grant: Grant, now_ms: int, proof: str) -> Identity:
    why = ""
    if grant.revoked_ms is not None:
        why = "was revoked"
    elif grant.expires_ms is not None and grant.expires_ms <= now_ms:
        why = "has expired"
    if why:
        detail = f"authorization: the {proof} of {grant.name} {why}; ask for a new one"
        raise CommandDenied(DenyReason.UNAUTHENTICATED, detail)
    return grant.identity
