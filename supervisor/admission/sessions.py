"""No session of an owner is taken twice: its keys would seal two launches alike.

What is on its way to the log is claimed, so that of two requests with one session one wins. The
durable part is the fold's: :mod:`supervisor.admission.state`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from supervisor.admission.state import AdmissionState
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.confidential import GuestSession, Sev
from supervisor.vm.spec import Manifest

UNCERTAIN = frozenset({DenyReason.MAILBOX_FULL})
"""Refusals after which a session may stand in the log all the same: its VM's actor crashed."""


def session_of(manifest: Manifest) -> GuestSession | None:
    """Return the session that a submission brings along."""
    return manifest.confidential.session if isinstance(manifest.confidential, Sev) else None


class Sessions:
    """The sessions that were given, and those that are being given."""

    def __init__(self, state: AdmissionState) -> None:
        self._state = state
        self._claimed: set[str] = set()

    @contextmanager
    def claimed(self, session: GuestSession | None, field: str) -> Iterator[None]:
        """Use up a session by what is done within, unless that is refused.

        Raises CommandDenied, naming ``field``, for one that was ever given.
        """
        if session is None:
            yield
            return
        self._check(session, field)
        self._claimed.add(session.sha256)
        try:
            yield
        except CommandDenied as denied:
            if denied.reason in UNCERTAIN:
                self._state.see(session)
            raise
        except BaseException:
            self._state.see(session)  # it may have become durable: rather a session too few
            raise
        else:
            self._state.see(session)
        finally:
            self._claimed.remove(session.sha256)

    def _check(self, session: GuestSession, field: str) -> None:
        if session.sha256 in self._claimed or self._state.has_seen(session):
            why = "this session was given before; each launch takes a new one (`sev session`)"
            violation = FieldViolation(field, why)
            raise CommandDenied(DenyReason.SESSION_REUSED, f"{field}: {why}", (violation,))
