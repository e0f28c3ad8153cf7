"""What the daemon tells of its own work: one line each on stderr, for people or for programs.

Modules speak to :mod:`logging`. What a line is about (the VM, the launch, the principal, the
trace) is bound once, where a task begins (``structlog.contextvars``), and so is in every line that
comes of it, and no secret is in any.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

import msgspec
from structlog.contextvars import merge_contextvars
from structlog.dev import (
    BRIGHT,
    DIM,
    RESET_ALL,
    Column,
    ConsoleRenderer,
    KeyValueColumnFormatter,
    plain_traceback,
)
from structlog.processors import EventRenamer, JSONRenderer, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name

from supervisor.cli.output import neutralised
from supervisor.config import Log, LogFormat

REDACTED = "[redacted]"
INSET = "  "
"""Before each line of a traceback, for people: what an error quotes may have several lines."""
SECRET_NAME = re.compile(r"secret|password|token|authorization|private_key", re.IGNORECASE)
SECRET_TEXT = re.compile(
    r"(?<=bearer )\s*\S+|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*-----|\Z)",
    re.IGNORECASE | re.DOTALL,
)

Fields = MutableMapping[str, Any]


def set_up(log: Log) -> None:
    """Begin to tell."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(log.format, is_terminal=sys.stderr.isatty()))
    logging.basicConfig(level=log.level.name, handlers=[handler])
    # INFO tells of every client that leaves.
    logging.getLogger("grpclib").setLevel(max(logging.WARNING, logging.root.level))


def formatter(log_format: LogFormat, *, is_terminal: bool = False) -> logging.Formatter:
    """Return what makes lines of records."""
    render: list[Any]
    if log_format is LogFormat.JSON:
        render = [format_exc_info, EventRenamer("message"), redact, JSONRenderer(_json)]
    else:
        render = [format_exc_info, redact, readable, _console(is_terminal=is_terminal)]
    return ProcessorFormatter(
        foreign_pre_chain=[
            merge_contextvars,
            _time,
            add_log_level,
            add_logger_name,
            ExtraAdder(),
        ],
        processors=[ProcessorFormatter.remove_processors_meta, *render],
    )


def redact(_logger: object, _method: str, fields: Fields) -> Fields:
    """Take every secret out of a line's fields, by their names and by what secrets look like."""
    for name, value in fields.items():
        if SECRET_NAME.search(name):
            fields[name] = REDACTED
        elif isinstance(value, str):
            fields[name] = SECRET_TEXT.sub(REDACTED, value)
    return fields


def readable(_logger: object, _method: str, fields: Fields) -> Fields:
    """Let nothing that a client or a guest said look like a line of ours, or rewrite one."""
    for name, value in fields.items():
        if isinstance(value, str):
            text = neutralised(value)
            inset = indent(text, INSET, lambda _line: True)
            fields[name] = inset if name == "exception" else text.replace("\n", "\\n")
    return fields


def _console(*, is_terminal: bool) -> ConsoleRenderer:
    levels = ConsoleRenderer.get_default_level_styles(is_terminal)
    bold, dim, plain = (BRIGHT, DIM, RESET_ALL) if is_terminal else ("", "", "")

    def level(key: str, value: object) -> str:
        return f"{levels.get(str(value), '')}{str(value).upper()}{plain}"

    columns = [
        Column("time", KeyValueColumnFormatter(None, dim, plain, str)),
        Column("level", level),
        Column("logger", KeyValueColumnFormatter(None, dim, plain, str)),
        Column("event", KeyValueColumnFormatter(None, bold, plain, str)),
        Column("", KeyValueColumnFormatter(dim, "", plain, str)),
    ]
    return ConsoleRenderer(columns=columns, exception_formatter=plain_traceback)


def _time(_logger: object, _method: str, fields: Fields) -> Fields:
    fields["time"] = datetime.fromtimestamp(fields["_record"].created, UTC).isoformat()
    return fields


def _json(fields: Fields, **_options: object) -> str:
    return msgspec.json.encode(fields, enc_hook=str).decode()
