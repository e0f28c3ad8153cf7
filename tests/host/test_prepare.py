"""Preparing a launch: everything is pinned, and whatever is wrong is said in plain words."""

import hashlib
import json
import tarfile
from pathlib import Path

import msgspec
import pytest

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.host.facts import HostFacts
from supervisor.host.images import Images
from supervisor.host.prepare import LaunchPreparation, choose_accelerator
from supervisor.host.spawn import spawn
from supervisor.vm import layout
from supervisor.vm.effects import PrepareLaunch
from supervisor.vm.observations import Image, LaunchImpossible, LaunchPrepared
from supervisor.vm.spec import (
    Accelerator,
    Algorithm,
    ByDigest,
    ByName,
    Dataset,
    Limits,
    Manifest,
    Recipient,
)
from tests.host.worlds import OLD_BZIMAGE, VM_ID, RealWorld

QEMU = "/bin/true"
NO_KVM = HostFacts(boot_id="boot", qemu=QEMU, kvm_obstacle="there is no /dev/kvm")
WITH_KVM = HostFacts(boot_id="boot", qemu=QEMU, kvm_obstacle="")
NO_QEMU = HostFacts(boot_id="boot", qemu="", kvm_obstacle="")


class Bench:
    """A store, a catalogue directory and a VM's directory."""

    def __init__(self, root: Path) -> None:
        self.world = RealWorld(root)
        self.catalogue = root / "catalogue"
        self.catalogue.mkdir()

    def prepare(
        self, manifest: Manifest, machine: HostFacts = NO_KVM
    ) -> LaunchPrepared | LaunchImpossible:
        images = Images(self.world.artifacts, Catalogue(self.catalogue), DigestCache())
        preparation = LaunchPreparation(
            VM_ID,
            self.world.directory,
            artifacts=self.world.artifacts,
            images=images,
            machine=machine,
        )
        return preparation.prepare(PrepareLaunch(1, manifest))

    def impossible(self, manifest: Manifest, machine: HostFacts = NO_KVM) -> str:
        seen = self.prepare(manifest, machine)
        assert isinstance(seen, LaunchImpossible)
        assert not (self.world.directory / "launch-1").exists()
        return seen.detail

    def name(self, name: str, content: bytes, *, sha256: str = "") -> None:
        """Put an image into the catalogue, under a digest that may be a lie."""
        (self.catalogue / name).write_bytes(content)
        digest = sha256 or hashlib.sha256(content).hexdigest()
        entry = {"file": name, "sha256": digest, "size": len(content), "kind": "kernel"}
        text = json.dumps({"format": 1, "entries": {name: entry}})
        (self.catalogue / "catalogue.json").write_text(text)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def read(image: Image) -> bytes:
    return Path(image.path).read_bytes()


def shaped(manifest: Manifest, **changes: object) -> Manifest:
    return msgspec.structs.replace(manifest, vm=msgspec.structs.replace(manifest.vm, **changes))


async def test_the_inputs_are_a_tar_of_the_job(bench: Bench) -> None:
    data = await bench.world.add(b"5.1,3.5\n" * 10_000)
    manifest = msgspec.structs.replace(
        await bench.world.manifest(),
        algorithm=Algorithm(
            (await bench.world.add(b"#!/bin/sh\n")).sha256, arguments=("--fast", "ü\n")
        ),
        datasets=(Dataset("iris.csv", data.sha256), Dataset("n" * 120, data.sha256)),
    )
    seen = bench.prepare(manifest)
    assert isinstance(seen, LaunchPrepared)
    content = read(seen.images.inputs)
    assert seen.images.inputs.sha256 == hashlib.sha256(content).hexdigest()
    assert seen.images.inputs.size == len(content)
    assert len(content) % 512 == 0
    with tarfile.open(seen.images.inputs.path) as tar:
        members = {member.name: tar.extractfile(member) for member in tar}
        assert {(member.uid, member.gid, member.mtime) for member in tar} == {(0, 0, 0)}
        job = {name: file.read() for name, file in members.items() if file}
    assert next(iter(job)) == "job/launch"
    assert job["job/launch"] == b"1\n"
    assert job["job/vm_id"] == b"vm-1\n"
    assert job["job/arguments/0000"] == b"--fast"
    assert job["job/arguments/0001"] == "ü\n".encode()
    assert job["algorithm"] == b"#!/bin/sh\n"
    assert job["datasets/iris.csv"] == job[f"datasets/{'n' * 120}"] == b"5.1,3.5\n" * 10_000


async def test_the_guest_is_told_how_to_decrypt_and_for_whom_to_encrypt(bench: Bench) -> None:
    data = await bench.world.add(b"opaque")
    plain = await bench.world.manifest()
    manifest = msgspec.structs.replace(
        plain,
        algorithm=msgspec.structs.replace(plain.algorithm, encryption="age"),
        datasets=(
            Dataset("iris.csv", data.sha256, encryption="aes-256"),
            Dataset("b", data.sha256),
        ),
        result_recipients=(Recipient("owner", "age1key"),),
    )
    seen = bench.prepare(manifest)
    assert isinstance(seen, LaunchPrepared)
    with tarfile.open(seen.images.inputs.path) as tar:
        job = {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
    assert {name: text for name, text in job.items() if name.startswith(("job/e", "job/r"))} == {
        "job/encryption/algorithm": b"age",
        "job/encryption/datasets/iris.csv": b"aes-256",
        "job/recipients/owner": b"age1key",
    }


async def test_the_same_job_gives_the_same_inputs(bench: Bench) -> None:
    manifest = await bench.world.manifest()
    first, second = bench.prepare(manifest), bench.prepare(manifest)
    assert isinstance(first, LaunchPrepared)
    assert first == second


async def test_a_preparation_begins_with_an_empty_private_directory(bench: Bench) -> None:
    directory = bench.world.directory / "launch-1"
    directory.mkdir(parents=True)
    (directory / "left over").touch()
    bench.prepare(await bench.world.manifest())
    names = {path.name for path in directory.iterdir()}
    assert names == {layout.INPUTS_DISK, layout.RESULTS_DISK}
    assert directory.stat().st_mode & 0o777 == 0o700


async def test_layers_are_pinned_one_by_one_and_joined(bench: Bench) -> None:
    layers = (await bench.world.add(b"base"), await bench.world.add(b"python"))
    seen = bench.prepare(shaped(await bench.world.manifest(), initrd=layers))
    assert isinstance(seen, LaunchPrepared)
    assert [layer.sha256 for layer in seen.images.initrd_layers] == [
        layer.sha256 for layer in layers
    ]
    assert read(seen.images.initrd) == b"basepython\0\0"


async def test_an_image_of_the_catalogue_is_pinned_with_its_name(bench: Bench) -> None:
    bench.name("my-kernel", OLD_BZIMAGE)
    seen = bench.prepare(shaped(await bench.world.manifest(), kernel=ByName("my-kernel")))
    assert isinstance(seen, LaunchPrepared)
    assert seen.images.kernel.name == "my-kernel"
    assert seen.images.kernel.sha256 == hashlib.sha256(OLD_BZIMAGE).hexdigest()


async def test_an_elf_kernel_is_bootable_too(bench: Bench) -> None:
    kernel = await bench.world.add(b"\x7fELF")
    assert isinstance(
        bench.prepare(shaped(await bench.world.manifest(), kernel=kernel)), LaunchPrepared
    )


async def test_what_is_no_kernel_is_refused(bench: Bench) -> None:
    kernel = await bench.world.add(b"#!/bin/sh\n")
    detail = bench.impossible(shaped(await bench.world.manifest(), kernel=kernel))
    assert "neither a Linux bzImage nor an ELF file" in detail


async def test_an_unknown_name_says_what_to_run(bench: Bench) -> None:
    detail = bench.impossible(shaped(await bench.world.manifest(), kernel=ByName("reference")))
    assert "'reference'" in detail
    assert "chronovisor guest build" in detail


async def test_a_catalogue_file_that_was_changed_is_refused(bench: Bench) -> None:
    bench.name("my-kernel", OLD_BZIMAGE, sha256="0" * 64)
    detail = bench.impossible(shaped(await bench.world.manifest(), kernel=ByName("my-kernel")))
    assert "build it anew" in detail


async def test_a_catalogue_file_that_is_gone_is_named(bench: Bench) -> None:
    bench.name("my-kernel", OLD_BZIMAGE)
    (bench.catalogue / "my-kernel").unlink()
    detail = bench.impossible(shaped(await bench.world.manifest(), kernel=ByName("my-kernel")))
    assert "'my-kernel' is missing" in detail


async def test_an_artifact_that_was_never_uploaded_is_named(bench: Bench) -> None:
    detail = bench.impossible(shaped(await bench.world.manifest(), kernel=ByDigest("e" * 64)))
    assert "e" * 64 in detail


async def test_a_machine_without_qemu_says_what_to_install(bench: Bench) -> None:
    assert "install" in bench.impossible(await bench.world.manifest(), NO_QEMU)


async def test_a_qemu_that_was_removed_since_is_named(bench: Bench) -> None:
    gone = msgspec.structs.replace(NO_KVM, qemu="/nonexistent/qemu")
    assert "/nonexistent/qemu" in bench.impossible(await bench.world.manifest(), gone)


async def test_a_results_disk_that_no_disk_could_hold_is_impossible(bench: Bench) -> None:
    manifest = await bench.world.manifest()
    endless = msgspec.structs.replace(manifest, limits=Limits(result_bytes=2**62))
    assert "cannot be made" in bench.impossible(endless)


async def test_a_launch_that_still_runs_keeps_its_files(bench: Bench) -> None:
    manifest = await bench.world.manifest()
    seen = bench.prepare(manifest)
    assert isinstance(seen, LaunchPrepared)
    process = spawn(Path(seen.directory), ("/bin/sleep", "60"), "boot")
    try:
        again = bench.prepare(manifest)
        assert isinstance(again, LaunchImpossible)
        assert "still running" in again.detail
        assert read(seen.images.inputs)
    finally:
        bench.world.kill(process.identity)
        assert (await process.wait_exited()).signal == 9
        process.close()


@pytest.mark.parametrize(
    ("wanted", "machine", "chosen"),
    [
        (Accelerator.AUTO, NO_KVM, "tcg"),
        (Accelerator.AUTO, WITH_KVM, "kvm"),
        (Accelerator.TCG, WITH_KVM, "tcg"),
        (Accelerator.TCG, NO_KVM, "tcg"),
        (Accelerator.KVM, WITH_KVM, "kvm"),
    ],
)
def test_kvm_is_taken_where_it_works(wanted: Accelerator, machine: HostFacts, chosen: str) -> None:
    assert choose_accelerator(wanted, machine) == chosen


async def test_kvm_that_cannot_work_says_why(bench: Bench) -> None:
    manifest = shaped(await bench.world.manifest(), accel=Accelerator.KVM)
    assert "KVM cannot be used: there is no /dev/kvm" in bench.impossible(manifest)
