"""A broken invariant: what the simulation is there to find."""


class Violation(BaseException):
    """``invariant`` names the promise that was broken, ``what`` says where.

    No Exception: neither a supervisor nor anybody else may catch it and go on.
    """

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
        self.what = what


class Killed(BaseException):
    """A task of a dead daemon reached for the world; it never comes so far."""
