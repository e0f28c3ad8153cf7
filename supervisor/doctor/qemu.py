"""QEMU: whether it is there, how old it is, and what it can run guests with."""

import re
import subprocess
from collections.abc import Iterator

from supervisor.config import Config
from supervisor.doctor.finding import Finding, fault, ok, warning
from supervisor.host.facts import QEMU, read_facts

INSTALL = "apt-get install qemu-system-x86"
OLDEST = (7, 2)
"""The version that the tests run; older ones were never tried."""
ANSWER_S = 10.0
"""QEMU answers within 0.1 s, and on a busy host within one."""
NEEDED = "tcg"

_VERSION = re.compile(r"version (\d{1,4})\.(\d{1,4})")


def look_at_qemu(config: Config) -> Iterator[Finding]:
    """Yield what there is to say of QEMU and of KVM."""
    facts = read_facts()
    if not facts.qemu:
        yield fault("QEMU", f"there is no {QEMU} in the PATH", INSTALL)
        return
    yield _version(facts.qemu)
    yield _accelerators(facts.qemu)
    if facts.kvm_obstacle:
        why, _, remedy = facts.kvm_obstacle.partition(": ")
        fix = remedy or "run guests with accel = tcg, which is many times slower, or use a host "
        yield warning("KVM", why, remedy or f"{fix}whose CPU and kernel offer it")
    else:
        yield ok("KVM", "guests run at the speed of the host's CPU")


def _version(qemu: str) -> Finding:
    said = _said(qemu, "--version")
    found = _VERSION.search(said)
    if found is None:
        return fault("QEMU", f"{qemu} does not tell its version", f"reinstall it: {INSTALL}")
    version = (int(found[1]), int(found[2]))
    told = f"{qemu}, version {version[0]}.{version[1]}"
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return warning("QEMU", f"{told}; older than {oldest} was never tried", INSTALL)
    return ok("QEMU", told)


def _accelerators(qemu: str) -> Finding:
    lines = _said(qemu, "-accel", "help").splitlines()
    offered = sorted(line.strip() for line in lines if line.strip() and not line.endswith(":"))
    if NEEDED not in offered:
        return fault("accelerators", f"{qemu} offers no {NEEDED}", f"reinstall it: {INSTALL}")
    return ok("accelerators", ", ".join(offered))


def _said(*command: str) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            errors="replace",
            timeout=ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
