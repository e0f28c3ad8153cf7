"""`CHRONOVISOR_*` variables -> a layer.

A variable of that name that says nothing to us is warned of and not refused: others set some, such
as Kubernetes for a service that is called chronovisor.
"""

import difflib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from supervisor.config.resolving import Given, Layer, Origin, Source
from supervisor.config.settings import BY_VARIABLE, VARIABLES, Setting
from supervisor.config.values import placed

FILE_VARIABLE = "CHRONOVISOR_CONFIG"
"""Names the configuration file."""
OF_CLIENTS = ("CHRONOVISOR_CONNECT",)
"""Variables of the other commands, which `serve` does not look at."""
OF_TOOLS = ("CHRONOVISOR_GUEST_DIR", "CHRONOVISOR_SEV_VECTORS")
"""Those of the repository's own tools and tests."""

NEAR = 0.8
"""How alike two names are that differ by a slip; those of others are alike by chance."""


def from_text(text: str, setting: Setting) -> object:
    """Read a setting from text; a path is taken from where we are on."""
    return placed(setting.read_text(text), Path())


def said(name: str, text: str) -> Given:
    """Return what a variable says."""
    return Given(Source(Origin.ENVIRONMENT, name), partial(from_text, text))


def read_environment(environment: Mapping[str, str]) -> Layer:
    """Return what the variables say; an empty one says nothing."""
    return {
        setting.key: said(name, environment[name])
        for name, setting in BY_VARIABLE.items()
        if environment.get(name)
    }


def without_effect(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that looks like ours and is none."""
    names = (*BY_VARIABLE, FILE_VARIABLE, *OF_CLIENTS, *OF_TOOLS)
    known = {name.removeprefix(VARIABLES): name for name in names}
    for name in sorted(environment):
        if name.startswith(VARIABLES) and name not in names:
            near = difflib.get_close_matches(name.removeprefix(VARIABLES), known, n=1, cutoff=NEAR)
            yield f"{name} has no effect" + (f"; did you mean {known[near[0]]}?" if near else "")
