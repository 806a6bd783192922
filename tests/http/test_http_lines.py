"""Lines: a request that hangs is broken off from another thread; over real sockets, TLS, and both libraries."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from loopback import GUARD, Loopback, Received, Wire, authority, client_tls, server_tls

from rx_assistant.errors import APIConnectionError, InternalServerError, RxAssistantError
from rx_assistant.http.lines import Line
from rx_assistant.http.requests import assistants
from rx_assistant.http.session import Session
from rx_assistant.http.settings import Settings


async def ok(request: Received, wire: Wire) -> None:
    await wire.json({"id": "x"})


async def silent(request: Received, wire: Wire) -> None:
    await wire.peer_gone()


async def silent_after_the_first(request: Received, wire: Wire) -> None:
    if wire.pieces:
        await wire.peer_gone()
    else:
        wire.pieces.append(b"served")
        await wire.json({"id": "x"})


async def stops_in_the_reply(request: Received, wire: Wire) -> None:
    await wire.head(200, {"content-length": "1000", "content-type": "application/json"})
    await wire.send(b'{"id":')
    await wire.peer_gone()


async def overloaded(request: Received, wire: Wire) -> None:
    await wire.reply(503, headers={"retry-after": "30"})


class Sending:
    """A request on a thread of its own, and what came of it."""

    def __init__(self, line: Line) -> None:
        self.outcome: object = None
        self._line = line
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._line.send(assistants.retrieve("asst_1"))
        except RxAssistantError as error:
            self.outcome = error

    def ended(self) -> object:
        self.thread.join(GUARD)
        assert not self.thread.is_alive()
        return self.outcome


def session(server: Loopback, client: Any = None, **settings: Any) -> Session:
    return Session(Settings(base_url=server.url, **settings), client)


@pytest.mark.parametrize("handler", [silent, stops_in_the_reply])
def test_a_request_that_hangs_ends_when_the_line_is_cut_and_is_not_sent_again(handler: Any) -> None:
    with Loopback(handler) as server:
        line = Line(session(server, max_retries=5))
        sending = Sending(line)
        server.wait_for(lambda: server.requests)
        line.cut()
        assert isinstance(sending.ended(), APIConnectionError)
        server.wait_for(lambda: not server.open_connections)
        assert len(server.requests) == 1


def test_so_does_one_on_a_connection_that_served_before() -> None:
    with Loopback(silent_after_the_first) as server:
        line = Line(session(server))
        assert line.send(assistants.retrieve("asst_1")).status == 200
        sending = Sending(line)
        server.wait_for(lambda: len(server.requests) == 2)
        line.cut()
        assert isinstance(sending.ended(), APIConnectionError)
        assert server.opened == 1


def test_a_wait_before_another_try_ends_too() -> None:
    with Loopback(overloaded) as server:
        line = Line(session(server))
        sending = Sending(line)
        server.wait_for(lambda: server.requests)
        line.cut()
        assert isinstance(sending.ended(), APIConnectionError | InternalServerError)
        assert len(server.requests) == 1


def test_a_line_that_was_cut_sends_nothing_and_leaves_no_connection() -> None:
    with Loopback(ok) as server:
        line = Line(session(server))
        assert line.send(assistants.retrieve("asst_1")).status == 200
        assert server.open_connections == 1
        line.cut()
        line.cut()
        server.wait_for(lambda: not server.open_connections)
        with pytest.raises(APIConnectionError, match="broken off"):
            line.send(assistants.retrieve("asst_1"))
        assert len(server.requests) == 1


def test_cutting_a_line_leaves_the_sessions_own_connections_alone() -> None:
    with Loopback(ok) as server:
        owner = session(server)
        owner.send(assistants.retrieve("asst_1"))
        line = Line(owner.with_settings(owner.settings))
        line.send(assistants.retrieve("asst_1"))
        line.cut()
        server.wait_for(lambda: server.open_connections == 1)
        owner.send(assistants.retrieve("asst_1"))
        assert server.opened == 2
        owner.close()


def test_over_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trusted = tmp_path / "authority.pem"
    authority().cert_pem.write_to_path(trusted)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with Loopback(silent, tls=server_tls()) as server:
        line = Line(session(server))
        sending = Sending(line)
        server.wait_for(lambda: server.requests)
        line.cut()
        assert isinstance(sending.ended(), APIConnectionError)
        server.wait_for(lambda: not server.open_connections)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_with_a_given_client_its_new_connection_is_cut_and_the_client_stays_open(library: Any) -> None:
    with Loopback(silent) as server, library.Client(verify=client_tls()) as client:
        line = Line(session(server, client))
        sending = Sending(line)
        server.wait_for(lambda: server.requests)
        line.cut()
        assert isinstance(sending.ended(), APIConnectionError)
        assert not client.is_closed


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_with_a_given_client_a_connection_that_serves_others_is_never_cut(library: Any) -> None:
    with Loopback(ok) as server, library.Client() as client:
        line = Line(session(server, client))
        line.send(assistants.retrieve("asst_1"))
        line.cut()
        assert Session(Settings(base_url=server.url), client).send(assistants.retrieve("asst_1")).status == 200
        assert server.opened == 1
