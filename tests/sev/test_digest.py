"""Launch digests of images of our own, checked by sev-snp-measure's own way to compute them."""

import hashlib
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sevsnpmeasure.guest import calc_launch_digest
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS

from supervisor.sev.digest import SnpImages, sev_digest, sev_es_digest, snp_digest
from supervisor.sev.errors import Malformed, SevRefused, Unfit
from supervisor.sev.firmware import Area, parse_firmware
from supervisor.sev.hash_table import direct_boot
from supervisor.sev.vmsa import VCPUS_MAX, Cpus, VmsaVariant, vmsa_pages
from tests.sev import images
from tests.sev.flips import flipped

KERNEL, INITRD, COMMAND_LINE = b"a kernel", b"an initrd", "console=ttyS0 quiet"
BOOT = direct_boot(KERNEL, INITRD, COMMAND_LINE)
MILAN = Cpus(2, "EPYC-Milan")


def on_disk(folder: Path, **contents: bytes) -> dict[str, str]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: str(folder / name) for name in contents}


@pytest.mark.parametrize(
    ("kernel", "initrd", "command_line"),
    [
        (b"", b"", ""),
        (KERNEL, b"", ""),
        (KERNEL, INITRD, ""),
        (KERNEL, b"", COMMAND_LINE),
        (KERNEL, INITRD, COMMAND_LINE),
        (KERNEL, INITRD, "naïve=✓"),
    ],
)
@pytest.mark.parametrize("mode", [SevMode.SEV, SevMode.SEV_ES])
def test_digests_agree_with_sev_snp_measure(
    tmp_path: Path, mode: SevMode, kernel: bytes, initrd: bytes, command_line: str
) -> None:
    firmware = images.firmware()
    files = on_disk(tmp_path, firmware=firmware, kernel=kernel, initrd=initrd)
    theirs = calc_launch_digest(
        mode,
        MILAN.count,
        CPU_SIGS[MILAN.model],
        files["firmware"],
        files["kernel"],
        files["initrd"],
        command_line,
        0,
    )
    boot = direct_boot(kernel, initrd, command_line)
    if mode is SevMode.SEV:
        ours = sev_digest(firmware, boot)
    else:
        ours = sev_es_digest(firmware, boot, MILAN, VmsaVariant.INIT2)
    assert ours == theirs


def test_without_a_kernel_the_firmware_alone_is_measured() -> None:
    firmware = images.firmware()
    assert sev_digest(firmware, None) == hashlib.sha256(firmware).digest()


def test_everything_that_is_launched_changes_the_digest() -> None:
    firmware = images.firmware()
    digests = [
        sev_digest(firmware, None),
        sev_digest(firmware, BOOT),
        sev_digest(images.firmware(filling=b"other"), BOOT),
        sev_digest(firmware, direct_boot(b"x", INITRD, COMMAND_LINE)),
        sev_digest(firmware, direct_boot(KERNEL, b"x", COMMAND_LINE)),
        sev_digest(firmware, direct_boot(KERNEL, INITRD, "x")),
        sev_es_digest(firmware, BOOT, MILAN, VmsaVariant.LEGACY),
        sev_es_digest(firmware, BOOT, MILAN, VmsaVariant.INIT2),
        sev_es_digest(firmware, BOOT, Cpus(3, "EPYC-Milan"), VmsaVariant.LEGACY),
        sev_es_digest(firmware, BOOT, Cpus(2, "EPYC-Rome"), VmsaVariant.LEGACY),
    ]
    assert len(set(digests)) == len(digests)


def test_a_kernel_needs_firmware_with_room_for_hashes() -> None:
    bare = images.firmware({images.RESET: images.AMD_SEV[images.RESET]})
    with pytest.raises(Unfit, match="this firmware has no area for hashes"):
        sev_digest(bare, BOOT)
    empty = images.firmware({**images.AMD_SEV, images.HASHES: bytes(8)})
    with pytest.raises(Unfit, match="this firmware has no area for hashes"):
        sev_es_digest(empty, BOOT, MILAN, VmsaVariant.INIT2)


@pytest.mark.parametrize("reset", [None, bytes(4)])
def test_sev_es_needs_firmware_that_says_where_cpus_start(reset: bytes | None) -> None:
    entries = {k: v for k, v in images.AMD_SEV.items() if k != images.RESET}
    if reset is not None:
        entries[images.RESET] = reset
    with pytest.raises(Unfit, match="does not say where CPUs start"):
        sev_es_digest(images.firmware(entries), BOOT, MILAN, VmsaVariant.INIT2)


def test_what_the_firmware_says_of_itself_is_read() -> None:
    found = parse_firmware(images.firmware())
    assert found.hashes == Area(0x810C00, 0x400)
    assert found.secret_room() == 0xC00
    assert found.demand_reset_address() == 0x80B004


@pytest.mark.parametrize("image", [b"", bytes(10), bytes(4096)])
def test_firmware_without_a_table_says_nothing(image: bytes) -> None:
    found = parse_firmware(image)
    assert (found.hashes, found.secret, found.reset_address) == (None, None, None)
    with pytest.raises(Unfit, match="no area for secrets"):
        found.secret_room()


def test_a_damaged_table_of_a_firmware_is_refused() -> None:
    long = bytearray(images.firmware())
    long[-50:-48] = b"\xff\xff"
    with pytest.raises(Malformed, match="table is longer than the firmware"):
        parse_firmware(bytes(long))
    with pytest.raises(Malformed, match="an entry of a wrong length"):
        parse_firmware(images.firmware({images.RESET: b""}).replace(b"\x12\0", b"\x11\0", 1))
    with pytest.raises(Malformed, match="entry for hashes has 4 bytes, and must have 8"):
        parse_firmware(images.firmware({images.HASHES: bytes(4)}))
    with pytest.raises(Malformed, match="entry for secrets has 9 bytes, and must have 8"):
        parse_firmware(images.firmware({images.SECRET: bytes(9)}))


def test_a_firmware_may_be_nothing_but_its_table() -> None:
    image = images.firmware(filling=b"\xff").lstrip(b"\xff")
    assert parse_firmware(image) == parse_firmware(images.firmware())


def test_entries_of_other_makers_may_be_empty_or_long() -> None:
    other = {UUID(int=1): b"", UUID(int=2): bytes(300)}
    assert parse_firmware(images.firmware({**images.AMD_SEV, **other})) == parse_firmware(
        images.firmware({**other, **images.AMD_SEV})
    )
    assert parse_firmware(images.firmware({})) == parse_firmware(b"")


def test_what_follows_a_reset_address_is_not_part_of_it() -> None:
    later = {images.RESET: images.AMD_SEV[images.RESET] + b"\xff" * 4}
    assert parse_firmware(images.firmware(later)).demand_reset_address() == 0x80B004


@pytest.mark.parametrize("size", [17, 19])
def test_a_firmware_that_is_all_table_is_read_to_its_end(size: int) -> None:
    image = size.to_bytes(2, "little") + images.FOOTER.bytes_le + bytes(32)
    with pytest.raises(Malformed, match="the firmware's table is longer than the firmware"):
        parse_firmware(image)


def test_a_table_of_endless_entries_is_refused() -> None:
    guids = [UUID(int=number) for number in range(65)]
    with pytest.raises(Malformed, match="an entry of a wrong length"):
        parse_firmware(images.firmware(dict.fromkeys(guids, b"")))


@given(st.one_of(st.binary(max_size=200), flipped(images.firmware(filling=b"")[-120:])))
def test_any_firmware_is_read_or_refused(image: bytes) -> None:
    with suppress(SevRefused):
        parse_firmware(image)


@pytest.mark.parametrize(
    ("count", "model", "sentence"),
    [
        (0, "EPYC", "0 CPUs are not from 1 to 512"),
        (VCPUS_MAX + 1, "EPYC", "513 CPUs are not from 1 to 512"),
        (1, "Skylake-Server", "Skylake-Server is no model of AMD's"),
    ],
)
def test_cpus_that_no_guest_has_are_refused(count: int, model: str, sentence: str) -> None:
    with pytest.raises(Unfit, match=sentence):
        Cpus(count, model)


def test_a_snp_guest_is_measured_with_its_kernel(tmp_path: Path) -> None:
    image = images.snp_firmware(*images.SECTIONS, images.HASHES_SECTION)
    files = on_disk(tmp_path, firmware=image, kernel=KERNEL, initrd=INITRD)
    firmware, kernel, initrd = (Path(files[name]) for name in ("firmware", "kernel", "initrd"))
    digests = {
        snp_digest(SnpImages(firmware), MILAN, 1),
        snp_digest(SnpImages(firmware, kernel), MILAN, 1),
        snp_digest(SnpImages(firmware, kernel, initrd), MILAN, 1),
        snp_digest(SnpImages(firmware, kernel, command_line="quiet"), MILAN, 1),
        snp_digest(SnpImages(firmware, kernel, command_line="quiet"), MILAN, 0x21),
    }
    assert {len(each) for each in digests} == {48}
    assert len(digests) == 5
    no_command_line = SnpImages(firmware, kernel, command_line="")
    assert snp_digest(no_command_line, MILAN, 1) == snp_digest(
        SnpImages(firmware, kernel), MILAN, 1
    )


def test_snp_needs_firmware_that_says_where_cpus_start(tmp_path: Path) -> None:
    files = on_disk(tmp_path, firmware=bytes(4096))
    with pytest.raises(Unfit, match="this firmware does not say where CPUs start"):
        snp_digest(SnpImages(Path(files["firmware"])), MILAN, 1)


def test_a_snp_kernel_needs_firmware_with_a_page_for_hashes(tmp_path: Path) -> None:
    files = on_disk(tmp_path, firmware=images.snp_firmware(*images.SECTIONS), kernel=KERNEL)
    with pytest.raises(Unfit, match="doesn't include SNP_KERNEL_HASHES section"):
        snp_digest(SnpImages(Path(files["firmware"]), Path(files["kernel"])), MILAN, 1)


def test_snp_firmware_is_whole_pages(tmp_path: Path) -> None:
    files = on_disk(tmp_path, firmware=images.firmware()[1:])
    with pytest.raises(Malformed, match="has 4095 bytes, which are no whole pages"):
        snp_digest(SnpImages(Path(files["firmware"])), MILAN, 1)


@pytest.mark.parametrize("area", [b"\1\0\0\0" + bytes(4), bytes(4) + b"\1\0\0\0"])
def test_an_area_of_no_size_or_no_place_is_none(area: bytes) -> None:
    found = parse_firmware(images.firmware({images.HASHES: area, images.SECRET: area}))
    assert (found.hashes, found.secret) == (None, None)


def test_a_guest_may_have_as_many_cpus_as_a_platform() -> None:
    assert Cpus(VCPUS_MAX, "EPYC").count == VCPUS_MAX


def test_the_older_kernels_leave_the_floating_point_unit_at_zero() -> None:
    legacy, later = (vmsa_pages(MILAN, 0x80B004, variant)[0] for variant in VmsaVariant)
    pairs = enumerate(zip(legacy, later, strict=True))
    differences = {at: pair for at, pair in pairs if pair[0] != pair[1]}
    mxcsr, control_word = {0x408: (0, 0x80), 0x409: (0, 0x1F)}, {0x410: (0, 0x7F), 0x411: (0, 3)}
    assert differences == mxcsr | control_word
