"""A start of the daemon with nothing around it but what a test says."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisor.config.environment import from_text
from supervisor.config.loading import Invocation, Loaded, load
from supervisor.config.resolving import ConfigInvalid, Given, Origin, Source
from supervisor.config.settings import BY_KEY


def flags(**given: str) -> dict[str, Given]:
    """What the command line makes of flags; two underscores stand for the dot of a key."""
    keys = {name.replace("__", "."): text for name, text in given.items()}
    return {
        key: Given(Source(Origin.FLAG, BY_KEY[key].flag), partial(from_text, text))
        for key, text in keys.items()
    }


class Start:
    """Starts with a home of its own, and a file in it where one was written."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / ".config" / "chronovisor" / "chronovisor.toml"

    def write(self, text: str) -> Path:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)
        return self.file

    def __call__(self, environment: dict[str, str] | None = None, **told: Any) -> Loaded:
        return load(Invocation({"HOME": str(self.home), **(environment or {})}, 1000, **told))

    def refused(self, environment: dict[str, str] | None = None, **told: Any) -> list[str]:
        """The lines with which a start is refused."""
        with pytest.raises(ConfigInvalid) as caught:
            self(environment, **told)
        return str(caught.value).replace(f"{self.home}/", "").splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return Start(tmp_path)
