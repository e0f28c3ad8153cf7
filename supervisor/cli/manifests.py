"""`manifest check`: everything that `submit` would refuse, found without a daemon."""

from pathlib import Path

import click
import msgspec

from supervisor.cli.drawing import byte_progress, print_facts
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.groups import Group
from supervisor.cli.options import json_option
from supervisor.cli.output import human_size, note, print_json
from supervisor.cli.sentences import DIGEST_CHARACTERS
from supervisor.manifest import ManifestInvalid, Prepared, load, local_files, prepare
from supervisor.vm.spec import ByName, ImageRef, Manifest
from supervisor.written.quantities import format_duration, format_size

MANIFEST = click.Path(path_type=Path, dir_okay=True)


def prepared(file: Path) -> Prepared:
    """Load a manifest and read its files, with progress. Raises :class:`Failure`."""
    try:
        draft = load(file)
        paths = [local.path for local in local_files(draft, file.parent)]
        total = sum(path.stat().st_size for path in paths if path.is_file())
        with byte_progress("reading local files", total) as report:
            return prepare(draft, file, report)
    except ManifestInvalid as invalid:
        raise Failure(ExitCode.USAGE, str(invalid)) from None


@click.group(cls=Group)
def manifest() -> None:
    """Work with manifests, without a daemon."""


@manifest.command()
@click.argument("manifest", type=MANIFEST)
@json_option
def check(*, manifest: Path, as_json: bool) -> None:
    """Check MANIFEST and the files it names; nothing is uploaded.

    With --json the normalised manifest is printed, as the daemon would record it, and the files
    that would be uploaded.

    \b
    Example:
      chronovisor manifest check examples/iris/iris.toml
    """
    ready = prepared(manifest)
    if as_json:
        uploads = [
            {"field": file.field, "path": str(file.path), "sha256": file.sha256, "size": file.size}
            for file in ready.uploads
        ]
        print_json({"manifest": msgspec.to_builtins(ready.manifest), "uploads": uploads})
        return
    print_facts(_summary(ready.manifest))
    for file in ready.uploads:
        note(f"{file.field}: {file.path}, {human_size(file.size)}, {_short(file.sha256)}")


def _summary(manifest: Manifest) -> dict[str, str]:
    shape, limits = manifest.vm, manifest.limits
    return {
        "name": manifest.name,
        "description": manifest.description,
        "labels": " ".join(f"{key}={value}" for key, value in manifest.labels.items()),
        "algorithm": manifest.algorithm.sha256,
        "arguments": " ".join(manifest.algorithm.arguments),
        "datasets": " ".join(dataset.name for dataset in manifest.datasets),
        "machine": f"{shape.machine.value}, {shape.accel.value}, {_cpus(shape.cpus)}, "
        f"{format_size(shape.memory_bytes)} of memory",
        "kernel": _image(shape.kernel),
        "initrd": " ".join(_image(layer) for layer in shape.initrd),
        "firmware": _image(shape.firmware) if shape.firmware else "",
        "firmware variables": _image(shape.firmware_vars) if shape.firmware_vars else "",
        "command line": shape.command_line,
        "time to live": format_duration(limits.ttl_ms),
        "launch within": format_duration(limits.launch_deadline_ms),
        "stop grace": format_duration(limits.stop_grace_ms),
        "result size": format_size(limits.result_bytes),
        "log size": format_size(limits.log_bytes),
    }


def _cpus(count: int) -> str:
    return "1 CPU" if count == 1 else f"{count} CPUs"


def _short(sha256: str) -> str:
    return f"sha256 {sha256[:DIGEST_CHARACTERS]}"


def _image(image: ImageRef) -> str:
    return image.name if isinstance(image, ByName) else image.sha256
