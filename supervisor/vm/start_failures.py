"""Why QEMU ended or refused, in plain words: one table from its own sentences to a cause.

A row is a part of a sentence that QEMU writes to standard error, or answers on QMP. Nothing is
guessed: what no row knows is told as QEMU said it. Sources: QEMU's target/i386/sev.c and
accel/kvm, versions 7.2 to 10.0.
"""

import msgspec

from supervisor.vm.observations import ExitEvidence


class Cause(msgspec.Struct, frozen=True):
    """What QEMU's sentence means, and what to do about it."""

    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.why}: {self.remedy}"


NO_EMULATION = Cause(
    "QEMU cannot run a confidential guest in software emulation",
    "start it on a host with SEV, with accel kvm",
)
KERNEL_WITHOUT_SEV = Cause(
    "this host's KVM has no SEV",
    "use a host whose AMD processor and firmware have SEV switched on, and load kvm_amd with sev=1",
)
QEMU_WITHOUT_SEV = Cause("this QEMU was built without SEV", "install one that was built with it")
NO_KVM = Cause(
    "KVM cannot be used",
    "load kvm_amd, and give the user that QEMU runs as access to /dev/kvm",
)
NO_DEVICE = Cause(
    "the secure processor cannot be reached",
    "give the user that QEMU runs as access to /dev/sev, and see that the module ccp is loaded",
)
BAD_SESSION = Cause(
    "the secure processor refused the session",
    "make a new one for this platform's certificate and for the policy of the manifest",
)
BAD_POLICY = Cause(
    "the secure processor refused the policy",
    "ask for no more than its firmware offers, or update its firmware",
)
BAD_CERTIFICATE = Cause(
    "the secure processor refused the owner's certificate",
    "make a new session for this platform's certificate",
)
NO_GUESTS_LEFT = Cause(
    "the secure processor has no room for one more guest",
    "end another confidential guest, or allow more of them in the host's firmware settings",
)
OTHER_PROCESSOR = Cause(
    "QEMU was told of another processor than this host's", "start the VM again on this host"
)
OLD_QEMU = Cause("this QEMU knows no SEV-SNP", "install QEMU 9.1 or later")
NO_HASHES = Cause(
    "the firmware has no place for the digests of kernel, initrd and command line",
    "use OVMF's AmdSev build",
)
NO_SECRETS = Cause("the firmware has no place for a secret", "use OVMF's AmdSev build")
NOT_PHYSICAL = Cause(
    "QEMU was not told how many address bits encryption takes", "start the VM again on this host"
)
TOO_EARLY = Cause(
    "the launch has not been measured", "ask again while it waits for its verification"
)
NOT_CONFIDENTIAL = Cause("the guest that runs is not confidential", "start the VM again")
NOT_WAITING = Cause(
    "the launch does not wait for a secret", "give a secret to a measured launch, before it runs"
)
BAD_SECRET = Cause(
    "the secure processor refused the secret",
    "seal it for this launch's measurement, with the keys of its session",
)
LOCKED_MEMORY = Cause(
    "QEMU may not lock the guest's memory, which SEV needs",
    "raise the limit on locked memory (LimitMEMLOCK=infinity in the daemon's service)",
)

CAUSES: tuple[tuple[str, Cause], ...] = (
    ("machine->cgs->ready", NO_EMULATION),
    ("accelerator does not support confidential guest", NO_EMULATION),
    ("does not accept value 'sev-snp-guest'", OLD_QEMU),
    ("invalid object type: sev-snp-guest", OLD_QEMU),
    ("does not accept value 'sev-guest'", QEMU_WITHOUT_SEV),
    ("invalid object type: sev-guest", QEMU_WITHOUT_SEV),
    ("SEV is not available in this QEMU", QEMU_WITHOUT_SEV),
    ("Parameter 'reduced-phys-bits' is missing", NOT_PHYSICAL),
    ("guest firmware hashes table area is invalid", NO_HASHES),
    ("no secret area found in OVMF", NO_SECRETS),
    ("failed to inject secret", BAD_SECRET),
    ("Not in correct state. (LSECRET)", NOT_WAITING),
    ("SEV launch measurement is not available", TOO_EARLY),
    ("SEV not enabled for guest", NOT_CONFIDENTIAL),
    ("LAUNCH_START ret=1 fw_error=7", BAD_POLICY),
    ("LAUNCH_START ret=1 fw_error=6", BAD_CERTIFICATE),
    ("LAUNCH_START ret=1 fw_error=14", NO_GUESTS_LEFT),
    ("LAUNCH_START ret=1 fw_error=16", NO_GUESTS_LEFT),
    ("LAUNCH_START ret=1", BAD_SESSION),
    ("failed to register region", LOCKED_MEMORY),
    ("cbitpos check failed, host '0'", KERNEL_WITHOUT_SEV),
    ("cbitpos check failed", OTHER_PROCESSOR),
    ("Failed to open /dev/sev", NO_DEVICE),
    ("Failed to open SEV device", NO_DEVICE),
    ("SEV is not enabled in KVM", KERNEL_WITHOUT_SEV),
    ("SEV is not enabled", KERNEL_WITHOUT_SEV),
    ("KVM not enabled", NO_KVM),
    ("Could not access KVM kernel module", NO_KVM),
    ("invalid accelerator kvm", NO_KVM),
)
"""The first row that fits counts: of rows that begin alike, the longer one stands first."""


def cause_of(words: str) -> Cause | None:
    """Return what QEMU's words mean, where they are known."""
    return next((cause for part, cause in CAUSES if part in words), None)


def in_plain_words(sentence: str) -> str:
    """Return a refusal of QEMU's with what it means before it."""
    cause = cause_of(sentence)
    return f"{cause} ({sentence})" if cause else sentence


def explain(evidence: ExitEvidence) -> str:
    """Return how QEMU ended: the cause where its words are known, and its last line."""
    cause = cause_of(evidence.stderr)
    how = _how(evidence)
    if cause is None:
        last_words = evidence.stderr.strip().splitlines()
        return f"{how}: {last_words[-1]}" if last_words else how
    return f"{cause} ({how}: {_telling_line(evidence.stderr)})"


def _telling_line(stderr: str) -> str:
    return next(line.strip() for line in stderr.splitlines() if cause_of(line))


def _how(evidence: ExitEvidence) -> str:
    if evidence.signal is not None:
        return f"QEMU was ended by signal {evidence.signal}"
    if evidence.exit_code is not None:
        return f"QEMU exited with status {evidence.exit_code}"
    return "QEMU exited while nobody was there to learn how"
