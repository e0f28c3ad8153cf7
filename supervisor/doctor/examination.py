"""The whole examination, in the order in which a person would mend what it finds."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import msgspec

from supervisor.cannot_serve import CannotServe
from supervisor.config import Config
from supervisor.doctor.catalogue import look_at_catalogue
from supervisor.doctor.certificate import look_at_certificate
from supervisor.doctor.clock import look_at_clock
from supervisor.doctor.disk import look_at_disk
from supervisor.doctor.finding import Finding, fault, ok, warning
from supervisor.doctor.log import look_at_log
from supervisor.doctor.ports import look_at_ports
from supervisor.doctor.qemu import look_at_qemu
from supervisor.doctor.sev import look_at_sev
from supervisor.doctor.state import look_at_state
from supervisor.doctor.tokens import look_at_tokens
from supervisor.doctor.user import look_at_user


class Patient(msgspec.Struct, frozen=True):
    """A host with the configuration of its daemon, and what was odd about that."""

    config: Config
    warnings: Sequence[str] = ()


Look = Callable[[Config], Iterator[Finding]]

LOOKS: dict[str, Look] = {
    "QEMU": look_at_qemu,
    "QEMU's user": look_at_user,
    "SEV": look_at_sev,
    "state directory": look_at_state,
    "disk": look_at_disk,
    "log": look_at_log,
    "clock": look_at_clock,
    "catalogue": look_at_catalogue,
    "TLS": look_at_certificate,
    "tokens": look_at_tokens,
    "ports": look_at_ports,
}
"""What is looked at, and who looks. A look that fails is a finding itself."""


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield all findings, each as soon as it is known."""
    yield from _configuration(patient.warnings)
    yield from chain.from_iterable(
        _findings(subject, look, patient.config) for subject, look in LOOKS.items()
    )


def _configuration(warnings: Sequence[str]) -> Iterator[Finding]:
    if not warnings:
        yield ok("configuration", "every setting is right")
    for told in warnings:
        yield warning("configuration", told, "chronovisor config show tells what holds")


def _findings(subject: str, look: Look, config: Config) -> Iterator[Finding]:
    try:
        yield from look(config)
    except PermissionError as error:
        says = f"{error.filename} may not be looked at by uid {os.geteuid()}"
        yield fault(subject, says, "run this as the user that the daemon runs as")
    except (OSError, CannotServe) as error:
        yield fault(subject, f"cannot be looked at: {error}", "mend this, and look again")
