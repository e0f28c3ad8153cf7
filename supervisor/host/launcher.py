"""The last program before QEMU: gives up what QEMU must not have, then becomes QEMU.

A script for the bare interpreter that imports only what is built in or small, so that it is gone
again within milliseconds: every launch waits for it. Its PID, its start time and its descriptors
stay QEMU's, and so does the record lock that it takes on the pidfile (fcntl(2): kept by execve(2)),
so that QEMU needs no path to a pidfile of its own:

    launcher.py ORDER... -- QEMU ARGUMENT...

Orders are carried out one after another, and QEMU runs only after all of them.

    cgroup=FILE           enter the cgroup whose cgroup.procs this is
    pidfile=FD            lock this open file, and write the PID into it
    limit=RLIMIT_X:N      lower a resource limit
    user=UID:GID:GIDS     become this user, for good
"""

import fcntl
import posix
import resource
import sys


def main(words: list[str]) -> None:
    """Carry out the orders, then become the program."""
    end = words.index("--")
    program = words[end + 1 :]
    try:
        for order in words[:end]:
            name, _, value = order.partition("=")
            ORDERS[name](value)
        # The interpreter ignores SIGPIPE, as QEMU does itself, and SIGXFSZ, so that a write beyond
        # the limit on files fails and does not kill.
        posix.execv(program[0], program)
    except OSError as error:
        sys.exit(f"QEMU ({program[0]}) cannot be started: {error}")


def _enter(procs: str) -> None:
    with open(procs, "w", encoding="ascii") as file:
        file.write("0")  # the writer itself


def _lock(descriptor: str) -> None:
    fcntl.lockf(int(descriptor), fcntl.LOCK_EX | fcntl.LOCK_NB)
    posix.ftruncate(int(descriptor), 0)
    posix.pwrite(int(descriptor), b"%d\n" % posix.getpid(), 0)


def _limit(order: str) -> None:
    name, wanted = order.split(":")
    limit = getattr(resource, name)
    _, hard = resource.getrlimit(limit)
    most = int(wanted) if hard == resource.RLIM_INFINITY else min(int(wanted), hard)
    resource.setrlimit(limit, (most, most))


def _become(order: str) -> None:
    user, group, groups = order.split(":")
    # Root once and never again: with the last root user ID the capabilities go as well.
    posix.setgroups([int(number) for number in groups.split(",") if number])
    posix.setresgid(int(group), int(group), int(group))
    posix.setresuid(int(user), int(user), int(user))


ORDERS = {
    "cgroup": _enter,
    "pidfile": _lock,
    "limit": _limit,
    "user": _become,
}

if __name__ == "__main__":
    main(sys.argv[1:])
