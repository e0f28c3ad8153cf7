"""`console --attach`: this terminal becomes the guest's, byte for byte, until Ctrl-] is typed."""

import os
import signal
import ssl
import sys
import tty
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from functools import partial
from http import HTTPStatus

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    DisconnectionTimeout,
    HandshakeError,
    WebSocketConnection,
    open_websocket,
)

from supervisor.cli.exits import ExitCode, Failure, Unreachable
from supervisor.cli.options import Access
from supervisor.cli.output import note, printable
from supervisor.cli.terminal import terminal_mode
from supervisor.config.values import Address

ESCAPE = b"\x1d"
"""Ctrl-], as in telnet(1) and in virsh's console."""
TYPED_BYTES = 4096
"""Of one message; the daemon takes no longer one."""
CONNECT_S = 15.0
GOODBYE_S = 2.0
"""Who leaves waits no longer for a daemon to agree, which takes it milliseconds."""
ENDED = 1000
LEAVING = 1001
REASON_CHARACTERS = 400


def attach(daemon: Address, access: Access, vm_id: str, launch: int | None) -> None:
    """Show a guest's console and type on it. Raises Failure."""
    resource = f"/v1/console/{vm_id}" + (f"?launch={launch}" if launch else "")
    try:
        trio.run(_attach, daemon, _authorization(access), access.tls(), resource)
    except (BaseExceptionGroup, Exception) as error:
        raise _told(_first(error), daemon) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _told(error: BaseException, daemon: Address) -> BaseException:
    match error:
        case ConnectionRejected():
            why = (error.body or b"").decode(errors="replace")[:REASON_CHARACTERS]
            is_unknown = error.status_code == HTTPStatus.NOT_FOUND
            code = ExitCode.NOT_FOUND if is_unknown else ExitCode.DENIED
            return Failure(code, f"the daemon refused with HTTP status {error.status_code}: {why}")
        case HandshakeError() | trio.TooSlowError():
            advice = "name its address with --websocket"
            return Unreachable(f"no daemon shows consoles at {daemon}: {advice}")
    return error


def _authorization(access: Access) -> list[tuple[bytes, bytes]]:
    if access.tls_cert is not None and access.token_file is None:
        return []
    return [(b"authorization", b"Bearer " + access.bearer_token().encode("ascii"))]


async def _attach(
    daemon: Address,
    authorized: list[tuple[bytes, bytes]],
    tls: ssl.SSLContext | None,
    resource: str,
) -> None:
    if tls is not None:
        tls.set_alpn_protocols(["http/1.1"])
    reached = partial(open_websocket, daemon.host, daemon.port, resource, use_ssl=tls or False)
    reached = partial(reached, connect_timeout=CONNECT_S, disconnect_timeout=GOODBYE_S)
    with suppress(DisconnectionTimeout):
        async with reached(extra_headers=authorized) as connection:
            note("attached; Ctrl-] leaves")
            with (
                trio.open_signal_receiver(signal.SIGTERM) as terminations,
                # Every key is the guest's, Ctrl-C too; without a terminal nothing is changed.
                terminal_mode(tty.setraw) if sys.stdin.isatty() else nullcontext(),
            ):
                await _converse(connection, terminations)


async def _converse(connection: WebSocketConnection, terminations: AsyncIterator[int]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_at, terminations)
        nursery.start_soon(_type, connection, nursery.cancel_scope)
        await _show(connection)
        nursery.cancel_scope.cancel()


async def _end_at(terminations: AsyncIterator[int]) -> None:
    await anext(terminations)
    raise SystemExit(ExitCode.TERMINATED)


async def _show(connection: WebSocketConnection) -> None:
    try:
        while isinstance(message := await connection.get_message(), bytes):
            # Ctrl-S keeps a write from ending, and must not keep the command from it.
            await trio.to_thread.run_sync(_write, message, abandon_on_cancel=True)
    except ConnectionClosed as closed:
        code = closed.reason.code if closed.reason else None
        if code == LEAVING:
            raise Unreachable("the daemon is leaving; the guest runs on") from None
        if code != ENDED:
            why = printable(closed.reason.reason or "") if closed.reason else ""
            raise Unreachable(f"the console broke off: {why or 'no reason was given'}") from None


def _write(data: bytes) -> None:
    # Past the buffer of stdout: the interpreter could not end while a thread is in there.
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


async def _type(connection: WebSocketConnection, all_of_it: trio.CancelScope) -> None:
    while data := await trio.to_thread.run_sync(_typed, abandon_on_cancel=True):
        before, escape, _ = data.partition(ESCAPE)
        with suppress(ConnectionClosed):  # whoever shows the console tells of it
            if before:
                await connection.send_message(before)
        if escape:
            all_of_it.cancel()
            return


def _typed() -> bytes:
    return os.read(sys.stdin.fileno(), TYPED_BYTES)
