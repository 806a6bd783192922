"""The web example in real browsers: several of them on one run, late ones included."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from rx_assistant.local import Server, serve

EXAMPLES = Path(__file__).parents[2] / "examples"

in_a_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The local server behind the page."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from concierge import Concierge

    with serve(engine=Concierge(0.005)) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        yield running
    for name in ("concierge", "screenshots", "web"):
        sys.modules.pop(name, None)


@pytest.fixture
def page(server: Server) -> Iterator[str]:
    """The address of the page."""
    from concierge import conversation
    from web import application

    with conversation() as talk, socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(application(talk), log_level="error", timeout_graceful_shutdown=1)
        site = uvicorn.Server(config)
        serving = threading.Thread(target=site.run, args=([listener],))
        serving.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        site.should_exit = True
        serving.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One Chromium; what it opens has a profile and connections of its own, as another person's browser would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        from screenshots import Browser

        with Browser() as browser:
            yield browser


@pytest.fixture
def look(chromium: Any, page: str) -> Callable[[], Any]:
    """One more person's browser on the page, for a `with` block."""
    return lambda: chromium.open(page, 800, 700)


def ask(browser: Any, question: str) -> None:
    browser.wait("source.readyState === 1")
    browser.run(f"field.value = {json.dumps(question)}; form.requestSubmit()")


TEXT = "page.innerText"
READY = "form.className === ''"


@in_a_browser
def test_several_browsers_follow_one_run_and_late_ones_miss_nothing(server: Server, look: Callable[[], Any]) -> None:
    with look() as first, look() as second:
        ask(first, "What is the weather in Lisbon, and in Tokyo?")
        for browser in (first, second):
            browser.wait(f"{TEXT}.includes('Is there anything else') && {READY}")
        with look() as late:
            late.wait(f"{TEXT}.includes('Is there anything else') && {READY}")
            texts = [browser.run(TEXT) for browser in (first, second, late)]
    assert texts[0] == texts[1] == texts[2]
    assert texts[0].startswith("What is the weather in Lisbon, and in Tokyo?")
    assert texts[0].count("get_weather") == 2
    assert texts[0].count("24 °C, clear skies") == 2
    assert sum(request.method == "POST" and request.path.endswith("/runs") for request in server.requests) == 1


@in_a_browser
def test_anybody_may_stop_the_run_and_errors_are_shown(server: Server, look: Callable[[], Any]) -> None:
    with look() as first, look() as second:
        ask(first, "Tell me a story")
        second.wait(f"{TEXT}.includes('A stream of small events') && form.className === 'running'")
        second.run("button.click()")
        first.wait("document.querySelector('#status').textContent.startsWith('cancelled')")
        ask(second, "an error, please")
        first.wait(f"{TEXT}.includes('The concierge has left the building') && {READY}")
    assert sum(request.path.endswith("/cancel") for request in server.requests) == 1


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**JSON, "origin": "http://evil.example"}, 403),
        ({**JSON, "origin": "null"}, 403),
        ({"content-type": "text/plain"}, 403),
        ({**JSON, "host": "evil.example"}, 400),
        (JSON, 202),
    ],
)
def test_only_the_page_itself_may_ask_and_stop(page: str, headers: dict[str, str], status: int) -> None:
    for path in ("ask", "stop"):
        assert httpx.post(page + path, content=b'"hello"', headers=headers).status_code == status
    if "host" in headers:
        assert httpx.get(page, headers=headers).status_code == status


def test_enter_during_a_run_asks_next_and_keeps_what_is_typed_and_where_one_reads(
    server: Server, look: Callable[[], Any]
) -> None:
    with look() as browser:
        browser.run("document.body.style.height = '300px'")
        ask(browser, "Tell me a story")
        browser.wait("page.scrollHeight > page.clientHeight + 100 && page.scrollTop > 60")  # it follows what is written
        ask(browser, "The time in Prague?")
        browser.run("page.scrollTop = 0; field.value = 'half a quest'")
        browser.wait("page.querySelector('.waiting')?.textContent === 'The time in Prague?'")
        browser.wait(f"{TEXT}.includes('Is there anything else') && {READY}")
        assert browser.run("[page.scrollTop, field.value].join()") == "0,half a quest"
        assert browser.run("page.querySelectorAll('.waiting').length") == 0
    assert sum(request.path.endswith("/cancel") for request in server.requests) == 0


def test_everything_that_a_run_says_is_shown(
    server: Server, look: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from concierge import Concierge
    from everything import EVERYTHING, SHOWN, everything

    monkeypatch.setattr(Concierge, "run", everything)
    with look() as browser:
        ask(browser, "Everything, please")
        browser.wait("form.className === '' && page.querySelector('.problem')")
        text = browser.run(TEXT)
        assert [said for said in SHOWN if said not in text] == []
        assert "**" not in text
        assert "【" not in text
        assert browser.run("page.querySelector('pre button').textContent") == "copy"
        assert browser.run("page.scrollWidth <= page.clientWidth")
    assert EVERYTHING
