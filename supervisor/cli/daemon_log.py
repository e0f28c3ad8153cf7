"""What the daemon tells of its own work: one line each on stderr, for people or for programs."""

import logging
from datetime import UTC, datetime

import msgspec

from supervisor.config import Log, LogFormat

FOR_PEOPLE = "%(asctime)s %(levelname)s %(name)s %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; a traceback is one of its texts."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(told).decode()


def set_up(log: Log) -> None:
    """Begin to tell."""
    handler = logging.StreamHandler()
    is_json = log.format is LogFormat.JSON
    handler.setFormatter(JsonLines() if is_json else logging.Formatter(FOR_PEOPLE))
    logging.basicConfig(level=log.level.name, handlers=[handler])
    # INFO tells of every client that leaves.
    logging.getLogger("grpclib").setLevel(max(logging.WARNING, logging.root.level))
