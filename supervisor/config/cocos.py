"""The variables of the Cocos manager -> a layer, for those who come from there.

Those that have a meaning here are obeyed; each other one is warned of by name, with the place where
the same is said here. Most of them describe a VM, which here is the manifest's business.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from supervisor.config.environment import said
from supervisor.config.resolving import ConfigInvalid, Given, Layer, Origin, Source, Wrong
from supervisor.config.settings import BY_KEY
from supervisor.config.values import Address

PREFIXES = ("MANAGER_", "COCOS_")

SAME = {
    "MANAGER_GRPC_SERVER_CERT": "tls.certificate",
    "MANAGER_HTTP_SERVER_CERT": "tls.certificate",
    "MANAGER_GRPC_SERVER_KEY": "tls.key",
    "MANAGER_HTTP_SERVER_KEY": "tls.key",
    "MANAGER_GRPC_CLIENT_CA_CERTS": "tls.client_ca",
    "MANAGER_HTTP_CLIENT_CA_CERTS": "tls.client_ca",
    "MANAGER_MAX_VMS": "capacity.max_running",
    "MANAGER_QEMU_HOST_FWD_RANGE": "capacity.forward_ports",
}
"""Variables that say what a setting says, in the same spelling."""

LOG_LEVEL = "MANAGER_LOG_LEVEL"
LEVELS = {"warn": "warning"}
"""Levels that have another name here."""

HOSTS_AND_PORTS = {
    "listen.grpc": ("MANAGER_GRPC_HOST", "MANAGER_GRPC_PORT"),
    "listen.http": ("MANAGER_HTTP_HOST", "MANAGER_HTTP_PORT"),
}

WITHOUT_EFFECT = {
    "MANAGER_QEMU_MEMORY_SIZE": "a manifest says vm.memory",
    "MANAGER_QEMU_MAX_MEMORY": "the memory of a VM does not grow",
    "MANAGER_QEMU_MEMORY_SLOTS": "the memory of a VM does not grow",
    "MANAGER_QEMU_SMP_COUNT": "a manifest says vm.cpus",
    "MANAGER_QEMU_SMP_MAXCPUS": "the processors of a VM do not grow",
    "MANAGER_QEMU_MACHINE": "a manifest says vm.machine",
    "MANAGER_QEMU_CPU": "the kind of the guest chooses it",
    "MANAGER_QEMU_ENABLE_KVM": "a manifest says vm.accel",
    "MANAGER_QEMU_OVMF_CODE_FILE": "a manifest says vm.firmware, a name of the catalogue",
    "MANAGER_QEMU_OVMF_VARS_FILE": "a manifest says vm.firmware_vars, a name of the catalogue",
    "MANAGER_QEMU_OVMF_FILE": "a manifest says vm.firmware, a name of the catalogue",
    "MANAGER_QEMU_DISK_IMG_KERNEL_FILE": "a manifest says vm.kernel, a name of the catalogue",
    "MANAGER_QEMU_DISK_IMG_ROOTFS_FILE": "a manifest says vm.initrd, names of the catalogue",
    "MANAGER_QEMU_HOST_FWD_AGENT": "capacity.forward_ports says which ports there are",
    "MANAGER_QEMU_GUEST_FWD_AGENT": "a manifest says network.forwards",
    "MANAGER_QEMU_ENABLE_SEV": "a manifest says confidential.kind",
    "MANAGER_QEMU_ENABLE_SEV_SNP": "a manifest says confidential.kind",
    "MANAGER_QEMU_HOST_DATA": "the launch is bound to its manifest in another way",
    "MANAGER_QEMU_BIN_PATH": "QEMU is the qemu-system-x86_64 of the PATH",
    "MANAGER_QEMU_USE_SUDO": "root's daemon runs QEMU as qemu_user",
    "MANAGER_GRPC_SERVER_CA_CERTS": "the chain stands in the file of tls.certificate",
    "MANAGER_HTTP_SERVER_CA_CERTS": "the chain stands in the file of tls.certificate",
}
"""Variables of the manager that say nothing here, and where the same is said."""

QEMU = "MANAGER_QEMU_"
OF_QEMU = "the daemon chooses it for each launch"
OTHER = "nothing here corresponds to it"


class Translation(Struct, frozen=True):
    """What the manager's variables come to."""

    layer: Layer
    warnings: tuple[str, ...]


def translate(environment: Mapping[str, str]) -> Translation:
    """Return what the manager's variables say. Raises ConfigInvalid where two of them differ."""
    given = {name: text for name, text in environment.items() if name.startswith(PREFIXES) and text}
    layer = {**_same(given), **_addresses(given)}
    if LOG_LEVEL in given:
        level = given[LOG_LEVEL].lower()
        layer["log.level"] = said(LOG_LEVEL, LEVELS.get(level, level))
    return Translation(layer, tuple(_warnings(given)))


def _same(given: Mapping[str, str]) -> dict[str, Given]:
    named: dict[str, str] = {}
    for name in sorted(given.keys() & SAME.keys()):
        key = SAME[name]
        first = named.setdefault(key, name)
        if given[first] != given[name]:
            differ = f"differs from {first}; one {key} serves all, so give both the same"
            raise ConfigInvalid([Wrong(Source(Origin.ENVIRONMENT, name), key, differ)])
    return {key: said(name, given[name]) for key, name in named.items()}


def _addresses(given: Mapping[str, str]) -> dict[str, Given]:
    """Return where to listen: without a host, on loopback only, unlike the manager."""
    layer: dict[str, Given] = {}
    for key, (host, port) in HOSTS_AND_PORTS.items():
        if host in given or port in given:
            usual = BY_KEY[key].initial
            assert isinstance(usual, Address)
            text = f"{given.get(host, usual.host)}:{given.get(port, usual.port)}"
            layer[key] = said(", ".join(name for name in (host, port) if name in given), text)
    return layer


def _warnings(given: Mapping[str, str]) -> Iterator[str]:
    obeyed = {LOG_LEVEL, *SAME, *(name for pair in HOSTS_AND_PORTS.values() for name in pair)}
    for name in sorted(given.keys() - obeyed):
        yield f"{name} has no effect: {instead(name)}"


def instead(name: str) -> str:
    """Return what stands in the place of a variable that has no effect."""
    return WITHOUT_EFFECT.get(name) or (OF_QEMU if name.startswith(QEMU) else OTHER)
