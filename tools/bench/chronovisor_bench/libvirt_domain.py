"""The machine of our own VMs as libvirt's domain XML: the same QEMU, devices and images."""

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import msgspec

from supervisor.artifacts.catalogue import Catalogue
from supervisor.host.facts import read_facts
from supervisor.vm.layout import AGENT_PORT, INPUTS_SERIAL, RESULTS_SERIAL
from supervisor.vm.qemu_argv import BASE_COMMAND_LINE
from supervisor.vm.spec import KIB, MIB, REFERENCE_BASE, REFERENCE_KERNEL

INPUTS_BYTES = 64 * KIB


class DomainFiles(msgspec.Struct, frozen=True):
    """What a domain is made of; the user who runs QEMU can read it."""

    emulator: str
    kernel: Path
    initrd: Path
    firmware: Path
    inputs: Path


def domain_files(catalogue: Path, directory: Path, firmware: Path) -> DomainFiles:
    """Return what our own VMs are made of; the disk with no inputs is made in ``directory``."""
    images = Catalogue(catalogue)
    inputs = directory / "no-inputs.img"
    with inputs.open("wb") as disk:
        disk.truncate(INPUTS_BYTES)
    kernel, initrd = (images.look_up(name).path for name in (REFERENCE_KERNEL, REFERENCE_BASE))
    return DomainFiles(read_facts().qemu, kernel, initrd, firmware, inputs)


def domain_xml(name: str, directory: Path, files: DomainFiles, memory_bytes: int) -> str:
    """Return the XML of a q35 machine in software emulation, whose own files are ``directory``'s.

    As in :mod:`supervisor.vm.qemu_argv`: serial console with a log, agent's port, random numbers,
    panic device, a disk to read and one to write; no graphics, USB, network or balloon.
    """
    return f"""<domain type='qemu'>
  <name>{escape(name)}</name>
  <memory unit='MiB'>{memory_bytes // MIB}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <loader type='rom'>{escape(str(files.firmware))}</loader>
    <kernel>{escape(str(files.kernel))}</kernel>
    <initrd>{escape(str(files.initrd))}</initrd>
    <cmdline>{BASE_COMMAND_LINE}</cmdline>
  </os>
  <cpu mode='maximum'/>
  <devices>
    <emulator>{escape(files.emulator)}</emulator>
    <controller type='usb' model='none'/>
    {_disk(INPUTS_SERIAL, "vda", files.inputs, "<readonly/>")}
    {_disk(RESULTS_SERIAL, "vdb", directory / "results", "")}
    <serial type='unix'>
      <source mode='bind' path={_path(directory / "console")}/>
      <log file={_path(directory / "console.log")} append='on'/>
    </serial>
    <channel type='unix'>
      <source mode='bind' path={_path(directory / "agent")}/>
      <target type='virtio' name='{AGENT_PORT}'/>
    </channel>
    <rng model='virtio'><backend model='builtin'/></rng>
    <memballoon model='none'/>
    <panic model='isa'/>
  </devices>
</domain>"""


def _disk(serial: str, target: str, path: Path, more: str) -> str:
    return (
        "<disk type='file' device='disk'>"
        "<driver name='qemu' type='raw' error_policy='report'/>"
        f"<source file={_path(path)}/><target dev='{target}' bus='virtio'/>{more}"
        f"<serial>{serial}</serial></disk>"
    )


def _path(path: Path) -> str:
    return quoteattr(str(path))
