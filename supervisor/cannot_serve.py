"""What ends the daemon, or keeps it from starting, for a reason that its operator can mend."""


class CannotServe(Exception):
    """The message is the daemon's last word: what is wrong, and what to do."""
