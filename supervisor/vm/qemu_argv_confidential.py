"""The part of QEMU's arguments that asks the processor to keep a guest from the host.

Sources: qapi/qom.json (SevGuestProperties, SevSnpGuestProperties) and QEMU's
docs/system/i386/amd-memory-encryption.rst. The session's files are inherited and read once.
"""

import base64

from supervisor.vm.confidential import Confidential, SevEs, SevPlatform, Snp, VmsaVariant
from supervisor.vm.layout import InheritedFd

OBJECT_ID = "sev0"
MACHINE_OPTION = f",confidential-guest-support={OBJECT_ID}"
ENCRYPTED_DEVICE: dict[str, object] = {
    "iommu_platform": True,
    "disable-legacy": "on",
    "romfile": "",
}
"""Of a virtio device whose guest's memory is encrypted: it moves data only through pages that the
guest shares (VIRTIO_F_ACCESS_PLATFORM), and brings no code of its own."""


def guest_object(
    confidential: Confidential, platform: SevPlatform, manifest_digest: str
) -> dict[str, object]:
    """Return the object that has QEMU launch an encrypted guest; ``manifest_digest`` is hex."""
    shared: dict[str, object] = {
        "id": OBJECT_ID,
        "cbitpos": platform.cbitpos,
        "reduced-phys-bits": platform.reduced_phys_bits,
        "policy": confidential.policy,
        "kernel-hashes": confidential.kernel_hashes,
    }
    if isinstance(confidential, Snp):
        return {"qom-type": "sev-snp-guest", **shared, **_snp(confidential, manifest_digest)}
    # QEMU before 9.1 knows the old way only, and not the option that turns it off.
    anew = isinstance(confidential, SevEs) and confidential.vmsa_variant is VmsaVariant.INIT2
    return {
        "qom-type": "sev-guest",
        **shared,
        **({"legacy-vm-type": "off"} if anew else {}),
        "dh-cert-file": _inherited(InheritedFd.GODH_CERT),
        "session-file": _inherited(InheritedFd.SESSION),
    }


def _snp(confidential: Snp, manifest_digest: str) -> dict[str, object]:
    host_data = base64.b64encode(bytes.fromhex(manifest_digest)).decode()
    given = {"id-block": confidential.id_block, "id-auth": confidential.id_auth}
    return {"host-data": host_data, **{name: value for name, value in given.items() if value}}


def _inherited(number: InheritedFd) -> str:
    return f"/proc/self/fd/{number}"
