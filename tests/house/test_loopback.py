"""The server that most rooms test against: stopped at any moment, it leaves nothing open for a later test to find."""

from __future__ import annotations

import gc
import socket
import ssl

import pytest
from loopback import Loopback, Received, Wire, client_tls, server_tls

REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def reply(request: Received, wire: Wire) -> None:
    await wire.reply(200, b"x" * 1_000_000)


@pytest.mark.parametrize("tls", [None, server_tls()], ids=["plain", "tls"])
@pytest.mark.parametrize("stage", ["accepted", "a few bytes", "an unread reply"])
def test_it_leaves_no_connection_open(tls: ssl.SSLContext | None, stage: str) -> None:
    for _ in range(5):
        with Loopback(reply, tls=tls) as server:
            peer = socket.create_connection(("localhost", server.port))
            if stage == "a few bytes":
                peer.sendall(b"\x16\x03\x01" if tls else b"GET")
            elif stage != "accepted":
                peer = client_tls().wrap_socket(peer, server_hostname="localhost") if tls else peer
                peer.sendall(REQUEST)
                server.wait_for(lambda server=server: server.requests)
        peer.settimeout(5)
        with peer, pytest.raises((OSError, EOFError)):
            while peer.recv(65536):
                pass
            raise EOFError
        gc.collect()  # what is still open warns here, and a warning is an error
