"""TLS around a client's connection, in the one way in which all of Trio's servers do it."""

import ssl

import trio


def secured(stream: trio.SocketStream, tls: ssl.SSLContext) -> "trio.SSLStream[trio.SocketStream]":
    """Return the stream inside TLS; nothing was said yet.

    A client may hang up without a word (RFC 9112, section 9.8): messages have their own ends.
    """
    return trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
