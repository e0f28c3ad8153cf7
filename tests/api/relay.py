"""A line between a client and the daemon, as a process of its own that can be stopped.

    python -m tests.api.relay LISTEN TARGET STOP_AFTER

Passes bytes between two Unix sockets, and stops itself (SIGSTOP) once it has passed ``STOP_AFTER``
bytes to the target: from then on nothing comes through, and nobody is told.
"""

import os
import selectors
import signal
import socket
import sys

RECEIVE_BYTES = 65536


def relay(client: socket.socket, target: socket.socket, stop_after: int) -> None:
    """Pass bytes both ways until one side hangs up."""
    passed = 0
    with selectors.DefaultSelector() as ready:
        for one, other in ((client, target), (target, client)):
            ready.register(one, selectors.EVENT_READ, other)
        while True:
            for key, _ in ready.select():
                assert isinstance(key.fileobj, socket.socket)
                data = key.fileobj.recv(RECEIVE_BYTES)
                if not data:
                    return
                key.data.sendall(data)
                passed += len(data) if key.data is target else 0
                if passed >= stop_after:
                    os.kill(os.getpid(), signal.SIGSTOP)


def main(listen: str, to: str, stop_after: int) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(listen)
        listener.listen()
        print("listening", flush=True)
        while True:
            client, _ = listener.accept()
            with client, socket.socket(socket.AF_UNIX) as target:
                target.connect(to)
                relay(client, target, stop_after)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
