"""The registers with which a CPU of an SEV-ES guest starts: one measured page each.

The pages are sev-snp-measure's. Two models are in use, and nothing else tells their measurements
apart: Linux' old KVM_SEV_ES_INIT leaves the state of the floating-point unit zero, KVM_SEV_INIT2
does not.
"""

from enum import StrEnum
from typing import Protocol

import msgspec
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS
from sevsnpmeasure.vmsa import VMSA

from supervisor.sev.errors import Unfit

VCPUS_MAX = 512
"""More than any SEV-ES platform runs in one guest."""

NO_FEATURES = 0


class VmsaVariant(StrEnum):
    """Which of the kernel's two ways to start an SEV-ES guest QEMU used."""

    LEGACY = "legacy"
    INIT2 = "init2"


class MeasuredCpus(Protocol):
    """What of CPUs is measured: how many there are, and what CPUID tells of them."""

    @property
    def count(self) -> int: ...

    @property
    def signature(self) -> int: ...


class Cpus(msgspec.Struct, frozen=True):
    """The guest's CPUs, as QEMU's -cpu and -smp name them."""

    count: int
    model: str

    def __post_init__(self) -> None:
        if not 1 <= self.count <= VCPUS_MAX:
            raise Unfit(f"{self.count} CPUs are not from 1 to {VCPUS_MAX}")
        if self.model not in CPU_SIGS:
            raise Unfit(f"{self.model} is no model of AMD's that QEMU has: {', '.join(CPU_SIGS)}")

    @property
    def signature(self) -> int:
        """Family, model and stepping as CPUID tells them."""
        return int(CPU_SIGS[self.model])


def vmsa_pages(cpus: MeasuredCpus, reset_address: int, variant: VmsaVariant) -> list[bytes]:
    """Return the measured page of each CPU of an SEV-ES guest, in order."""
    start = VMSA(SevMode.SEV_ES, reset_address, cpus.signature, NO_FEATURES)
    if variant is VmsaVariant.LEGACY:
        for area in (start.bsp_save_area, start.ap_save_area):
            area.mxcsr = area.x87_fcw = 0
    return list(start.pages(cpus.count))
