"""The times of a transcript."""

import datetime


def parse_moment(at: str) -> float:
    """Return an RFC 3339 time in seconds since the epoch."""
    return datetime.datetime.fromisoformat(at).timestamp()
