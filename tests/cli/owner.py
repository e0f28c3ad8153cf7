"""A guest's owner: the files on their machine, and the commands that they run."""

import base64
from pathlib import Path

from click.testing import Result

from tests.cli.conftest import Run, answer
from tests.sev import images
from tests.sev.amd import Generation
from tests.sev.chip import Chip, Launch, start

COMMAND_LINE = "console=ttyS0"
POLICY = 3


class Owner:
    """The files of an owner, and the commands over them."""

    def __init__(self, folder: Path, run: Run, chip: Chip, generation: Generation) -> None:
        self.folder, self.run, self.chip = folder, run, chip
        self.write("platform.json", chip.capabilities().encode())
        self.write("cek.cert", chip.cek)
        self.write("ask_ark.cert", generation.ask + generation.ark)
        self.write("firmware", images.firmware())
        self.write("kernel", b"a kernel")
        self.write("disk.key", b"swordfish")
        self.session = folder / "launch-1"

    def write(self, name: str, content: bytes) -> Path:
        file = self.folder / name
        file.write_bytes(content)
        return file

    def file(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def chain(self) -> tuple[str, ...]:
        """What names the platform and whom its owner trusts."""
        trust = ("--signed-cek", self.file("cek.cert"), "--amd-root", self.file("ask_ark.cert"))
        return (self.file("platform.json"), *trust)

    def make_session(self, *options: str) -> Result:
        policy = () if "--policy" in options else ("--policy", "nodbg,noks")
        return self.run("sev", "session", *self.chain, *policy, "-o", str(self.session), *options)

    def digest(self) -> str:
        words = ("--kernel", self.file("kernel"), "--command-line", COMMAND_LINE)
        found = answer(
            self.run, "sev", "digest", "sev", "--firmware", self.file("firmware"), *words
        )
        return str(found["digest"])

    def launch(self) -> tuple[Launch, str]:
        """What the host's processor does with the session, and the measurement it answers."""
        blob, certificate = (
            base64.b64decode((self.session / name).read_bytes())
            for name in ("session.b64", "godh.b64")
        )
        launch = start(self.chip, blob, certificate, POLICY)
        return launch, base64.b64encode(launch.measure(bytes.fromhex(self.digest()))).decode()

    def evidence(self, measurement: str, **changes: str) -> list[str]:
        options = {
            "session": str(self.session),
            "measurement": measurement,
            "platform-version": "1.55.24",
            "policy": "0x3",
            "min-version": "1.51.0",
            "digest": self.digest(),
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]
