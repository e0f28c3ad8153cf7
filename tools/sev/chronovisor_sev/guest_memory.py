"""SIMULATED: what QEMU puts into a guest before it is measured, by sev-snp-measure's own code."""

from pathlib import Path

from sevsnpmeasure.ovmf import OVMF
from sevsnpmeasure.sev_hashes import SevHashes
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS, cpu_sig
from sevsnpmeasure.vmsa import VMSA

from chronovisor_sev.sev_options import SevOptions

SECRET_AREA = "4c2eb361-7d9b-4cc3-8081-127c90d3d294"
CPUINFO = Path("/proc/cpuinfo")
IDENTITY = ("cpu family", "model", "stepping")
SEV_ES = 4
"""The policy's bit by which the registers are measured, too."""


class NoHashes(Exception):
    """The firmware has no area for the hashes that were asked for."""


def measured_pieces(options: SevOptions, command_line: str) -> list[bytes]:
    """Return what LAUNCH_UPDATE gets, in its order. Raises NoHashes."""
    ovmf = OVMF(options.firmware)
    pieces = [bytes(ovmf.data())]
    if options.guest.get("kernel-hashes") in (True, "on") and options.kernel:
        if not ovmf.is_sev_hashes_table_supported():
            raise NoHashes
        hashes = SevHashes(options.kernel, options.initrd, command_line)
        pieces.append(hashes.construct_table())
    if int(options.guest["policy"]) & SEV_ES:
        pieces.extend(_registers(ovmf, options))
    return pieces


def has_secret_area(options: SevOptions) -> bool:
    """Return whether the firmware says where a secret goes."""
    try:
        return any(OVMF(options.firmware).table_item(SECRET_AREA)[:4])
    except KeyError:
        return False


def _registers(ovmf: OVMF, options: SevOptions) -> list[bytes]:
    """Return the page of each CPU as the kernel's old KVM_SEV_ES_INIT fills it."""
    identity = CPU_SIGS.get(options.cpu) or _hosts_own(CPUINFO.read_text())
    pages = VMSA(SevMode.SEV_ES, ovmf.sev_es_reset_eip(), identity, 0)
    if options.guest.get("legacy-vm-type") not in (False, "off"):
        for area in (pages.bsp_save_area, pages.ap_save_area):
            area.mxcsr = area.x87_fcw = 0
    return [bytes(page) for page in pages.pages(options.vcpus)]


def _hosts_own(cpuinfo: str) -> int:
    """Return what a guest of -cpu host or max starts as."""
    lines = (line.partition(":") for line in cpuinfo.partition("\n\n")[0].splitlines())
    told = {name.strip(): value.strip() for name, _, value in lines}
    return int(cpu_sig(*(int(told[name]) for name in IDENTITY)))
