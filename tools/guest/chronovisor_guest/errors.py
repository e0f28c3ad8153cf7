"""What can go wrong while the guest is built, each said in one sentence that names the way out."""


class GuestError(Exception):
    """The guest cannot be built; the message names what is missing and what to run."""
