"""What QEMU is told of a confidential launch, for each kind; as far as it can, a real one judges.

QEMU 7.2 knows no SEV-SNP, and no host without the processor gets past reading the options.
"""

import base64
import json
import shutil
import subprocess
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from supervisor.vm.confidential import Confidential, Sev, SevEs, Snp, VmsaVariant
from supervisor.vm.observations import Image
from supervisor.vm.qemu_argv import qemu_argv
from supervisor.vm.spec import Network, NetworkMode
from tests.vm.confidential_states import FIRST, PLATFORM, POLICY, SEALED
from tests.vm.states import DIRECTORY, IMAGES, SHA256

QEMU = shutil.which("qemu-system-x86_64") or ""
HOST_DATA = base64.b64encode(bytes.fromhex(SHA256)).decode()
FILES = {"dh-cert-file": "/proc/self/fd/16", "session-file": "/proc/self/fd/17"}
SHARED = {"id": "sev0", "cbitpos": 51, "reduced-phys-bits": 1, "kernel-hashes": True}

OBJECTS: list[tuple[Confidential, dict[str, object]]] = [
    (Sev(POLICY, FIRST), {"qom-type": "sev-guest", "policy": POLICY, **SHARED, **FILES}),
    (SevEs(5, FIRST), {"qom-type": "sev-guest", "policy": 5, **SHARED, **FILES}),
    (
        SevEs(5, FIRST, vmsa_variant=VmsaVariant.INIT2),
        {"qom-type": "sev-guest", "policy": 5, "legacy-vm-type": "off", **SHARED, **FILES},
    ),
    (
        Snp(),
        {"qom-type": "sev-snp-guest", "policy": 0x30000, "host-data": HOST_DATA, **SHARED},
    ),
    (
        Snp(0xB0000, id_block="AAAA", id_auth="BBBB"),
        {
            "qom-type": "sev-snp-guest",
            "policy": 0xB0000,
            "host-data": HOST_DATA,
            "id-block": "AAAA",
            "id-auth": "BBBB",
            **SHARED,
        },
    ),
]


def argv_of(confidential: Confidential | None) -> tuple[str, ...]:
    manifest = msgspec.structs.replace(
        SEALED, confidential=confidential, network=Network(NetworkMode.RESTRICTED)
    )
    images = msgspec.structs.replace(IMAGES, firmware=Image("/images/AMDSEV.fd", SHA256, 1))
    return qemu_argv(
        manifest,
        vm_id="iris",
        launch=1,
        directory=DIRECTORY,
        images=images,
        accel="kvm",
        platform=PLATFORM,
        manifest_digest=SHA256,
    )


def values(argv: tuple[str, ...], option: str) -> list[str]:
    return [value for name, value in pairwise(argv) if name == option]


def virtio(argv: tuple[str, ...]) -> list[dict[str, Any]]:
    devices = [json.loads(v) for v in values(argv, "-device") if v.startswith("{")]
    return [device for device in devices if device["driver"].endswith("-pci")]


@pytest.mark.parametrize(("confidential", "expected"), OBJECTS)
def test_each_kind_has_its_object(confidential: Confidential, expected: dict[str, object]) -> None:
    argv = argv_of(confidential)
    assert [json.loads(value) for value in values(argv, "-object")] == [expected]
    (machine,) = values(argv, "-machine")
    assert machine.endswith(",confidential-guest-support=sev0")
    assert values(argv, "-bios") == ["/proc/self/fd/14"]


def test_every_virtio_device_of_an_encrypted_guest_keeps_to_shared_pages_and_has_no_rom() -> None:
    devices = virtio(argv_of(Sev(POLICY, FIRST)))
    assert sorted(device["driver"] for device in devices) == [
        *("virtio-blk-pci", "virtio-blk-pci", "virtio-net-pci"),
        *("virtio-rng-pci", "virtio-serial-pci"),
    ]
    for device in devices:
        kept = {name: device[name] for name in ("iommu_platform", "disable-legacy", "romfile")}
        assert kept == {"iommu_platform": True, "disable-legacy": "on", "romfile": ""}


def test_a_guest_that_is_not_confidential_is_told_nothing_of_it() -> None:
    words = " ".join(argv_of(None))
    assert "sev" not in words
    assert "iommu_platform" not in words


def test_no_wrapped_key_stands_in_the_argv() -> None:
    words = " ".join(argv_of(Sev(POLICY, FIRST)))
    assert FIRST.session_blob not in words
    assert FIRST.godh_cert not in words


@pytest.mark.qemu
@pytest.mark.parametrize("driver", ["blk", "net", "rng", "serial"])
def test_a_real_qemu_takes_what_virtio_devices_are_told(driver: str) -> None:
    wanted = [
        d for d in virtio(argv_of(Sev(POLICY, FIRST))) if d["driver"] == f"virtio-{driver}-pci"
    ]
    backends = {"drive", "netdev", "serial", "rerror", "werror"}
    device = {name: value for name, value in wanted[0].items() if name not in backends}
    backend = ("-drive", "if=none,id=d,driver=null-co,size=512") if driver == "blk" else ()
    said = qemu(
        *("-machine", "q35,accel=tcg", *backend),
        *("-device", json.dumps(device | ({"drive": "d"} if driver == "blk" else {}))),
    )
    complaints = [line for line in said.stderr.splitlines() if "has no peer" not in line]
    assert (said.returncode, complaints) == (0, [])


@pytest.mark.qemu
@pytest.mark.parametrize("confidential", [Sev(POLICY, FIRST), SevEs(5, FIRST)])
def test_a_real_qemu_knows_each_property_of_its_object(confidential: Confidential) -> None:
    wanted = json.loads(values(argv_of(confidential), "-object")[0])
    taken = qemu("-machine", "none", "-object", json.dumps(wanted))
    assert (taken.returncode, taken.stderr) == (0, "")
    refused = qemu("-machine", "none", "-object", json.dumps(wanted | {"no-such": 1}))
    assert "no-such" in refused.stderr


def qemu(*options: str) -> subprocess.CompletedProcess[str]:
    command = [QEMU, "-nodefaults", "-display", "none", "-S", "-qmp", "stdio", *options]
    words = '{"execute":"qmp_capabilities"}{"execute":"quit"}'
    return subprocess.run(
        command, input=words, capture_output=True, text=True, timeout=60, check=False
    )
