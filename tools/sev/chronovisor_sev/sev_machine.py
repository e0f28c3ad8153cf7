"""SIMULATED: QEMU with an SEV guest as its monitor shows it, in QEMU 7.2's own words.

What only the guest could answer comes from the real QEMU once it runs (:mod:`real_qemu`).
"""

import base64
import binascii
import os
from collections.abc import Callable
from typing import Any

from chronovisor_transcript.machine import Machine, Message, refusal, with_id

from chronovisor_sev.chip import CBITPOS, Chip
from chronovisor_sev.guest_memory import NoHashes, has_secret_area, measured_pieces
from chronovisor_sev.processor import API, FirmwareError, GuestState, Launch
from chronovisor_sev.sev_options import SevOptions, contents, readable
from chronovisor_sev.tampering import Tamper

EIO = 5
ORDER = tuple(GuestState)
OTHER_COMMAND_LINE = "init=/bin/sh"
"""What a host would add to get a shell in somebody else's guest."""
WEAK_POLICY = 0
MEASURED_STATES = (GuestState.SECRET, GuestState.RUNNING)
SNP = "sev-snp-guest"
INJECT = "sev-inject-launch-secret"


class CannotStart(Exception):
    """QEMU ends before it greets; the message is what it writes on stderr."""


class Refused(Exception):
    """QEMU answers a command with an error of the class GenericError."""


OTHER_GUESTS = (Tamper.OTHER_COMMAND_LINE, Tamper.REPLAYED_NONCE)
"""Where what is launched is not what the owner knows."""


class SevMachine(Machine):
    """A guest that was launched and waits for its owner; ``secret`` is what it was given."""

    def __init__(self, options: SevOptions, chip: Chip, tamper: Tamper) -> None:
        super().__init__(options.uuid)
        self.secret = b""
        self._options = options
        self._tamper = tamper
        self._chip = chip
        self._launch = Launch(chip)
        self._measurement = b""
        self._sev_commands: dict[str, Callable[[dict[str, Any]], Message]] = {
            "query-sev": self._query,
            "query-sev-capabilities": lambda arguments: capabilities(chip, tamper),
            "query-sev-launch-measure": self._query_measurement,
            INJECT: self._inject,
            "query-sev-attestation-report": self._report,
        }
        if options.kind != SNP:
            self._begin()

    @property
    def runs_by_itself(self) -> bool:
        """Whether this host lets the guest run without its owner, now that it is measured."""
        waits = self._launch.state is GuestState.SECRET
        return self._tamper is Tamper.BYPASS and waits and bool(self._measurement)

    def run(self) -> None:
        """LAUNCH_FINISH."""
        if self._options.kind != SNP:
            self._launch.finish()

    def knows(self, request: Message) -> bool:
        """Return whether a command is about SEV."""
        return request.get("execute") in self._sev_commands

    def obey_sev(self, request: Message) -> list[Message]:
        """Return what QEMU says to a command that it :meth:`knows`."""
        try:
            value = self._sev_commands[request["execute"]](request.get("arguments", {}))
        except Refused as why:
            return [with_id(refusal(str(why), "GenericError"), request)]
        if request["execute"] == INJECT and self._tamper is Tamper.LOST_ANSWER:
            self._tamper = Tamper.NONE
            return []
        return [with_id({"return": value}, request)]

    def _begin(self) -> None:
        guest = self._options.guest
        if int(guest.get("cbitpos", 0)) != CBITPOS:
            asked = guest.get("cbitpos", 0)
            raise CannotStart(
                f"sev_kvm_init: cbitpos check failed, host '{CBITPOS}' requested '{asked}'"
            )
        shown = self._options.command_line
        other = f"{shown} {OTHER_COMMAND_LINE}" if self._tamper in OTHER_GUESTS else shown
        self._fill(self._launch, other)
        self._measurement = self._measured(shown)

    def _fill(self, launch: Launch, command_line: str) -> None:
        guest = self._options.guest
        blob, certificate = (_file(guest, name) for name in ("session-file", "dh-cert-file"))
        try:
            launch.start(blob, certificate, int(guest.get("policy", 1)))
        except FirmwareError as error:
            raise CannotStart(f"sev_launch_start: LAUNCH_START ret=1 fw_error={error}") from None
        try:
            pieces = measured_pieces(self._options, command_line)
        except NoHashes:
            raise CannotStart(
                "SEV: guest firmware hashes table area is invalid (base=0x0 size=0x0)"
            ) from None
        for piece in pieces:
            launch.update(piece)

    def _measured(self, honest_command_line: str) -> bytes:
        true = self._launch.measure()
        match self._tamper:
            case Tamper.WRONG_MEASUREMENT:
                return bytes([true[0] ^ 1]) + true[1:]
            case Tamper.REPLAYED_NONCE:
                honest = Launch(self._chip)
                self._fill(honest, honest_command_line)
                return honest.measure()
        return true

    def _query(self, arguments: dict[str, Any]) -> Message:
        major, minor, build = API
        versions = {"enabled": True, "api-major": major, "api-minor": minor, "build-id": build}
        if self._options.kind == SNP:
            policy = int(self._options.guest.get("policy", 0x30000))
            return {**versions, "state": "running", "sev-type": "sev-snp", "snp-policy": policy}
        is_weak = self._tamper is Tamper.WEAK_POLICY
        policy = WEAK_POLICY if is_weak else self._launch.policy
        return {**versions, "policy": policy, "state": self._launch.state.value, "handle": 1}

    def _query_measurement(self, arguments: dict[str, Any]) -> Message:
        if self._launch.state not in MEASURED_STATES:
            raise Refused("SEV launch measurement is not available")
        if self._tamper is Tamper.CRASH_BEFORE_MEASURE:
            os.abort()
        return {"data": base64.b64encode(self._measurement).decode()}

    def _inject(self, arguments: dict[str, Any]) -> Message:
        state = self._launch.state
        if state is not GuestState.SECRET:
            raise Refused(f"SEV: Not in correct state. (LSECRET) {ORDER.index(state):x}")
        if "gpa" not in arguments and not has_secret_area(self._options):
            raise Refused("SEV: no secret area found in OVMF, gpa must be specified.")
        header = _decoded(arguments.get("packet-header"), "sequence header")
        ciphertext = _decoded(arguments.get("secret"), "data")
        try:
            self.secret = self._launch.take(header, _corrupted(ciphertext, self._tamper))
        except FirmwareError as error:
            raise Refused(f"SEV: failed to inject secret ret=-{EIO} fw_error={error}") from None
        if self._tamper is Tamper.CRASH_AFTER_SECRET:
            os.abort()
        return {}

    def _report(self, arguments: dict[str, Any]) -> Message:
        nonce = _decoded(arguments.get("mnonce"), "mnonce")
        if len(nonce) != 16:
            raise Refused(f"SEV: mnonce must be 16 bytes (got {len(nonce)})")
        try:
            return {"data": base64.b64encode(self._launch.report(nonce)).decode()}
        except FirmwareError as error:
            raise Refused(f"SEV: Failed to get attestation report fw_error={error}") from None


def capabilities(chip: Chip, tamper: Tamper) -> Message:
    """Return the platform's facts; a tampered chain has a PEK that nobody vouches for."""
    facts = dict(chip.facts())
    if tamper is Tamper.BAD_CHAIN:
        chain = bytearray(chip.cert_chain)
        chain[1044 + 8] ^= 1  # the first byte of the PEK's first signature
        facts["cert-chain"] = base64.b64encode(chain).decode()
    return facts


def _file(guest: dict[str, Any], name: str) -> bytes:
    path = str(guest.get(name, ""))
    try:
        return base64.b64decode(contents(readable(path)), validate=False)
    except (OSError, binascii.Error) as error:
        raise CannotStart(f"sev_read_file_base64: failed to read '{path}': {error}") from None


def _decoded(text: object, what: str) -> bytes:
    try:
        data = base64.b64decode(str(text or ""), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise Refused(f"SEV: Failed to decode {what}")
    return data


def _corrupted(ciphertext: bytes, tamper: Tamper) -> bytes:
    if tamper is not Tamper.REFUSED_SECRET:
        return ciphertext
    return bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
