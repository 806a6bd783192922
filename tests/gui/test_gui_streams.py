"""Whole streams into windows: a server, a network thread, a widget, and what closing the window does."""

from __future__ import annotations

import threading
from typing import Any, Literal

import pytest
from guard import GUARD
from gui_toolkits import Toolkit
from loopback import Loopback, ended
from run_server import finish, hang

from rx_assistant import AssistantClient, AsyncAssistantClient, background, operators as ax
from rx_assistant.gui import observe_on_ui
from rx_assistant.streams import pump

Face = Literal["a background loop", "a thread"]


@pytest.fixture(params=["a background loop", "a thread"])
def face(request: pytest.FixtureRequest) -> Face:
    """Who reads: an asynchronous stream on a background loop, or a synchronous one on a thread of its own."""
    return request.param  # type: ignore[no-any-return]


class Application:
    """A window, a client and one run."""

    def __init__(self, toolkit: Toolkit, url: str, face: Face, **policies: Any) -> None:
        self.toolkit, self.url, self.face, self.policies = toolkit, url, face, policies
        self.shown: list[str] = []
        self.ended: list[str] = []
        self.threads: set[int] = set()

    def run(self, done: Any) -> None:
        before = set(threading.enumerate())
        with background() as bg:
            self.bg = bg
            self.client: Any = (
                AssistantClient(base_url=self.url)
                if self.face == "a thread"
                else AsyncAssistantClient(base_url=self.url)
            )
            self.toolkit.run(self.start, done)
            if self.face == "a thread":
                self.client.close()
            else:
                bg.call(self.client.aclose).result(GUARD)
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("rx-assistant"):
                assert ended(thread), thread.name

    def start(self, toolkit: Toolkit) -> None:
        stream = self.client.threads.runs.stream("thread_1", assistant_id="asst_1", **self.policies)
        stream.pipe(ax.text_deltas(), observe_on_ui(toolkit.host)).subscribe(self.show, self.end, self.end)
        if self.face == "a thread":
            stream.connect()
        else:
            self.bg.start(stream)

    def show(self, text: str) -> None:
        self.threads.add(threading.get_ident())
        self.shown.append(text)
        self.toolkit.append(text)

    def end(self, error: Exception | None = None) -> None:
        self.threads.add(threading.get_ident())
        self.ended.append("completed" if error is None else type(error).__name__)


def test_a_run_is_written_into_the_window(toolkit: Toolkit, face: Face) -> None:
    with Loopback(finish) as server:
        application = Application(toolkit, server.url, face)
        application.run(lambda: application.ended)
        assert toolkit.text() == "two words"
    assert application.ended == ["completed"]
    assert application.threads == {threading.get_ident()}


def test_closing_the_window_in_mid_stream_closes_the_connection(
    toolkit: Toolkit, face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "THREAD_SECONDS", 60.0)  # should the window ever wait for the reader, the guard will tell
    with Loopback(hang) as server:
        application = Application(toolkit, server.url, face, on_idle="close")
        closed: list[bool] = []

        def done() -> bool:
            if "".join(application.shown) == "two words" and not closed:
                closed.append(True)
                toolkit.close_window()
            return bool(server.endings)

        application.run(done)
        assert len(server.endings) == 1
    assert application.ended == []


def test_closing_the_window_cancels_the_run_where_asked(toolkit: Toolkit, face: Face) -> None:
    with Loopback(hang) as server:
        application = Application(toolkit, server.url, face, on_idle="cancel", idle_grace=0.0)
        closed: list[bool] = []

        def done() -> bool:
            if "".join(application.shown) == "two words" and not closed:
                closed.append(True)
                toolkit.close_window()
            return len(server.endings) >= 1 and len(server.requests) == 2

        application.run(done)
        assert [request.path for request in server.requests] == [
            "/v1/threads/thread_1/runs",
            "/v1/threads/thread_1/runs/run_1/cancel",
        ]
