"""A confidential guest's firmware must be able to measure what it boots."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from supervisor.admission.firmware import FIRMWARE_BYTES_MAX, check_firmware
from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.store import ArtifactStore
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.confidential import Confidential, Snp
from supervisor.vm.spec import ByDigest, Manifest, VmShape
from tests.sev import images
from tests.vm.states import MANIFEST


class Host:
    """A store with one firmware in it."""

    def __init__(self, directory: Path) -> None:
        self.store = ArtifactStore(directory / "artifacts")
        self.catalogue = Catalogue(directory / "catalogue")

    async def manifest(self, firmware: bytes, confidential: Confidential | None = None) -> Manifest:
        async def chunks() -> AsyncIterator[bytes]:
            yield firmware

        await self.store.add(chunks(), limit_bytes=2 * FIRMWARE_BYTES_MAX, expected=None)
        shape = VmShape(firmware=ByDigest(hashlib.sha256(firmware).hexdigest()))
        return msgspec.structs.replace(MANIFEST, vm=shape, confidential=confidential)

    def check(self, manifest: Manifest) -> None:
        check_firmware(manifest, self.store, self.catalogue)


async def test_a_firmware_with_a_hash_table_is_taken(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.check(await host.manifest(images.firmware(), Snp()))


async def test_the_table_is_found_at_the_end_of_a_large_firmware(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.check(await host.manifest(b"\0" * (4 << 20) + images.firmware(), Snp()))


@pytest.mark.parametrize(
    ("firmware", "says"),
    [
        (b"\0" * 4096, "no area for hashes"),
        (b"", "no area for hashes"),
        (b"\0" * (FIRMWARE_BYTES_MAX + 1), f"has at most {FIRMWARE_BYTES_MAX}"),
    ],
    ids=["without a table", "empty", "too large"],
)
async def test_another_firmware_is_refused_by_its_field(
    tmp_path: Path, firmware: bytes, says: str
) -> None:
    host = Host(tmp_path)
    with pytest.raises(CommandDenied, match=says) as denied:
        host.check(await host.manifest(firmware, Snp()))
    assert denied.value.reason is DenyReason.INVALID_MANIFEST
    assert [wrong.field for wrong in denied.value.violations] == ["vm.firmware"]


async def test_an_open_guest_may_have_any_firmware(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.check(await host.manifest(b"\0" * 4096))
