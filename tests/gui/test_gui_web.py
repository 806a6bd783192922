"""The web example in real browsers: several of them on one run, late ones included."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import uvicorn
from relay.relay_servers import RedisServer, installed

from rx_assistant import AssistantClient
from rx_assistant.local import RunContext, Server, serve
from rx_assistant.local.engine import Action, Gate

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
    for name in ("concierge", "room", "screenshots", "web"):
        sys.modules.pop(name, None)


@contextmanager
def site(talk: Any) -> Iterator[str]:
    """The address of the page for one thread."""
    from web import application

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(application(talk), log_level="error", timeout_graceful_shutdown=1)
        serving = uvicorn.Server(config)
        thread = threading.Thread(target=serving.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        serving.should_exit = True
        thread.join()


@pytest.fixture
def page(server: Server) -> Iterator[str]:
    """The address of the page."""
    from concierge import conversation

    with conversation() as talk, site(talk) as address:
        yield address


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


def wait(browser: Any, condition: str) -> None:
    """Return when a JavaScript expression is true, however busy the machine is."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(RuntimeError):  # the page is being loaded again
            if browser.run(f"Boolean({condition})"):
                return
        time.sleep(0.02)
    raise AssertionError((condition, browser.run("form.className"), browser.run(TEXT)))


def ask(browser: Any, question: str) -> None:
    wait(browser, "source.readyState === 1")
    browser.run(f"field.value = {json.dumps(question)}; form.requestSubmit()")


def press(browser: Any, key: str, text: str = "", *, shift: bool = False) -> None:
    """Press a key, as a person would."""
    known = {"key": key, "code": key, "windowsVirtualKeyCode": CODES.get(key, 0), "modifiers": 8 if shift else 0}
    for kind, written in (("keyDown", {"text": text} if text else {}), ("keyUp", {})):
        browser._browser.call("Input.dispatchKeyEvent", browser._session, type=kind, **known, **written)


def write(browser: Any, text: str) -> None:
    """Write into what has the focus, and press Enter."""
    browser._browser.call("Input.insertText", browser._session, text=text)
    press(browser, "Enter", "\r")


CODES = {"Enter": 13, "Escape": 27, "Tab": 9, "PageUp": 33}


TEXT = "page.innerText"
READY = "form.className === '' && !dirty.size"


@in_a_browser
def test_several_browsers_follow_one_run_and_late_ones_miss_nothing(server: Server, look: Callable[[], Any]) -> None:
    with look() as first, look() as second:
        ask(first, "What is the weather in Lisbon, and in Tokyo?")
        for browser in (first, second):
            wait(browser, f"{TEXT}.includes('Is there anything else') && {READY}")
        with look() as late:
            wait(late, f"{TEXT}.includes('Is there anything else') && {READY}")
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
        wait(second, f"{TEXT}.includes('A stream of small events') && form.className === 'running'")
        second.run("$('#stop').click()")
        wait(first, "document.querySelector('#status').textContent.startsWith('cancelled')")
        ask(second, "an error, please")
        wait(first, f"{TEXT}.includes('The concierge has left the building') && {READY}")
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


@in_a_browser
def test_enter_during_a_run_asks_next_and_keeps_what_is_typed_and_where_one_reads(
    server: Server, look: Callable[[], Any]
) -> None:
    with look() as browser:
        browser.run("document.body.style.height = '300px'")
        ask(browser, "Tell me a story")
        wait(
            browser, "page.scrollHeight > page.clientHeight + 100 && page.scrollTop > 60"
        )  # it follows what is written
        ask(browser, "The time in Prague?")
        browser.run("page.scrollTop = 0; field.value = 'half a quest'")
        wait(browser, f"{TEXT}.includes('Is there anything else') && {READY}")
        assert browser.run("[page.scrollTop, field.value].join()") == "0,half a quest"
        assert browser.run("page.querySelectorAll('.waiting').length") == 0
        asked = browser.run("[...page.querySelectorAll('.question')].map(box => box.textContent)")
        assert asked == ["Tell me a story", "The time in Prague?"]
    assert sum(request.path.endswith("/cancel") for request in server.requests) == 0


@in_a_browser
@pytest.mark.parametrize("first", ["event", "answer"])
def test_a_waiting_question_is_shown_once_whatever_comes_first(look: Callable[[], Any], first: str) -> None:
    with look() as browser:
        wait(browser, "source.readyState === 1")
        browser.run(
            "var answered, sent; fetch = async (_, { body }) => (sent = body, new Promise(go => answered = go))"
        )
        browser.run("field.value = 'hello'; form.requestSubmit()")
        assert browser.run("[form.className, page.querySelectorAll('.waiting').length].join()") == "running,1"
        event = "heard['room.question'](JSON.parse(sent))"
        answer = "answered({ ok: true })"
        over = "heard['thread.run.completed']({ status: 'completed' })"
        steps = [event, over, answer] if first == "event" else [answer, event, over]
        for step in steps:
            browser.run(f"void {step}")
        wait(browser, "!dirty.size")
        assert (
            browser.run("[...page.children].map(box => box.className + ' ' + box.textContent).join()")
            == "question hello"
        )
        assert browser.run("form.className") == ""


@in_a_browser
def test_a_question_that_was_not_sent_comes_back(look: Callable[[], Any]) -> None:
    with look() as browser:
        wait(browser, "source.readyState === 1")
        browser.run("fetch = async () => { throw new Error('offline') }")
        browser.run("field.value = 'hello'; form.requestSubmit()")
        wait(browser, "field.value === 'hello'")
        assert browser.run("[page.children.length, form.className].join()") == "0,"


@in_a_browser
def test_a_reload_in_the_middle_loses_no_word_and_keeps_what_is_typed(look: Callable[[], Any]) -> None:
    with look() as first, look() as second:
        ask(first, "Tell me a story")
        wait(second, f"{TEXT}.includes('A stream of small events')")
        second.run("field.value = 'half a quest'; keep(); window.old = true; location.reload()")
        wait(second, "!window.old && document.readyState === 'complete' && field.value === 'half a quest'")
        for browser in (first, second):
            wait(browser, f"{READY} && {TEXT}.includes('went on for the others')")
        assert first.run(TEXT) == second.run(TEXT)
        assert first.run(TEXT).count("A stream of small events") == 4


class Line:
    """A connection to a server that can be cut: a browser behind it is offline then."""

    def __init__(self, address: str) -> None:
        self._target = ("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.is_cut = False
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.is_cut = True
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        for each in (near, far):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@in_a_browser
def test_a_browser_that_was_offline_goes_on_where_it_was(page: str, chromium: Any, look: Callable[[], Any]) -> None:
    line = Line(page)
    with closing(line), look() as first, chromium.open(line.address, 800, 700) as second:
        ask(first, "Tell me a story")
        wait(second, f"{TEXT}.includes('A stream of small events')")
        second.run("void (window.seen = [], source.addEventListener('thread.run.created', () => seen.push(1)))")
        line.cut()
        wait(second, "source.readyState === 0")
        assert "connecting" in second.run("$('#status').textContent")
        wait(first, f"{READY}")
        assert len(second.run(TEXT)) < len(first.run(TEXT))
        line.is_cut = False
        wait(second, f"{READY} && source.readyState === 1")
        assert first.run(TEXT) == second.run(TEXT)
        assert second.run("seen.length") == 0


@in_a_browser
def test_any_browser_may_allow_or_deny_a_call(look: Callable[[], Any]) -> None:
    with look() as first, look() as second:
        for city, button, outcome in (("Lisbon", 0, "a table for two"), ("Tokyo", 1, "the call was not approved")):
            ask(first, f"A table in {city}, please")
            wait(second, "page.querySelectorAll('.approval button').length === 2")
            assert "book_table" in second.run("page.querySelector('.approval:has(button)').textContent")
            second.run(f"page.querySelectorAll('.approval button')[{button}].click()")
            for browser in (first, second):
                wait(browser, f"{READY} && {TEXT}.includes({outcome!r})")
                assert browser.run("page.querySelectorAll('.approval button').length") == 0
        assert first.run(TEXT) == second.run(TEXT)


@in_a_browser
def test_five_turns_by_keyboard_alone(look: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from concierge import Concierge
    from everything import everything

    run, calm = Concierge.run, "Tell me a story"

    def answering(self: Any, context: Any) -> Any:
        return everything() if "Everything" in context.question else run(self, context)

    monkeypatch.setattr(Concierge, "run", answering)
    with look() as browser:
        browser._browser.call("Page.bringToFront", browser._session)
        wait(browser, "source.readyState === 1 && document.activeElement === field")
        browser.run(
            "document.body.style.height = '400px'; Clipboard.prototype.writeText = text => window.copied = text"
        )
        write(browser, calm)
        wait(browser, f"{TEXT}.includes('A stream of small events')")
        write(browser, "The time in Prague?")  # while it answers
        press(browser, "Escape")
        wait(browser, f"{READY} && {TEXT}.includes('Tell me')")
        browser._browser.call("Input.insertText", browser._session, text="Two")
        press(browser, "Enter", "\r", shift=True)
        assert browser.run("field.value") == "Two\n"
        write(browser, "lines")
        wait(browser, f"{READY} && {TEXT}.includes('Two\\nlines') && {TEXT}.includes('Good day')")
        write(browser, "Everything, please")
        wait(browser, f"{READY} && {TEXT}.includes('max_completion_tokens')")  # all is drawn, and buttons stay
        tab_to(browser, "document.activeElement.textContent === 'copy'")
        press(browser, "Enter", "\r")
        wait(browser, "window.copied === 'answer = 42'")
        tab_to(browser, "document.activeElement === field")
        write(browser, calm)
        wait(browser, "page.scrollTop > 500")
        tab_to(browser, "document.activeElement === page", shift=True)
        press(browser, "PageUp")
        wait(browser, "page.scrollHeight - page.scrollTop - page.clientHeight > 100")
        place = browser.run("page.scrollTop")
        tab_to(browser, "document.activeElement.id === 'stop'")
        press(browser, "Enter", "\r")
        wait(browser, READY)
        assert abs(browser.run("page.scrollTop") - place) < 400
        assert browser.run("page.querySelectorAll('.question').length") >= 4


def tab_to(browser: Any, condition: str, *, shift: bool = False) -> None:
    """Press Tab until a condition is true."""
    for _ in range(12):
        if browser.run(condition):
            return
        press(browser, "Tab", shift=shift)
    raise AssertionError(browser.run("document.activeElement.outerHTML"))


@in_a_browser
def test_a_file_is_attached_and_can_be_searched(server: Server, look: Callable[[], Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The soup is made of leeks.")
    with look() as browser:
        wait(browser, "source.readyState === 1")
        tab_to(browser, "document.activeElement.type === 'file'", shift=True)
        call, session = browser._browser.call, browser._session
        document = call("DOM.getDocument", session)["root"]["nodeId"]
        chooser = call("DOM.querySelector", session, nodeId=document, selector="input[type=file]")["nodeId"]
        call("DOM.setFileInputFiles", session, nodeId=chooser, files=[str(tmp_path / "notes.txt")])
        wait(browser, "$('#files').textContent.includes('notes.txt')")
        ask(browser, "What is in my notes?")
        wait(browser, f"{READY} && {TEXT}.includes('📎 notes.txt') && {TEXT}.includes('Good day')")
        assert browser.run("$('#files').textContent") == ""
    assert sum(request.path.endswith("/files") and request.method == "POST" for request in server.requests) == 1


@contextmanager
def program(**environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The example as a program: its address, and the process that was started."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "web.py")],
        env={**os.environ, "PORT": str(port), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address, end = f"http://127.0.0.1:{port}/", time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(httpx.HTTPError):
                httpx.get(address)
                break
            time.sleep(0.1)
        yield address, started
    finally:
        started.send_signal(signal.SIGINT)
        started.communicate(timeout=30)


@pytest.fixture
def processes(server: Server, tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The example with two processes and Redis: its address, and the process that started both."""
    if not installed():
        pytest.skip("redis-server is not installed")
    with RedisServer(tmp_path) as redis, program(REDIS_URL=redis.url, OPENAI_BASE_URL=server.base_url) as started:
        yield started[0], psutil.Process(started[1].pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_ends_without_errors_while_browsers_follow(server: Server, number: int) -> None:
    with program(OPENAI_BASE_URL=server.base_url) as (address, started), httpx.Client(base_url=address) as browser:
        room = browser.get("").text.partition('name="room" content="')[2].partition('"')[0]
        with browser.stream("GET", "events", params={"room": room}, timeout=60) as events:
            assert events.status_code == 200
            started.send_signal(number)
            events.read()
        assert started.stderr is not None
        assert "Traceback" not in started.stderr.read()
        started.wait(30)


@in_a_browser
@pytest.mark.timeout(300)
def test_two_processes_serve_one_conversation_and_survive_each_other(
    processes: tuple[str, psutil.Process], chromium: Any
) -> None:
    address, program = processes
    with chromium.open(address, 800, 700) as first, chromium.open(address, 800, 700) as second:
        workers = [child for child in program.children() if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2
        questions = ["The time in Prague?", "The time in Tokyo?", "The time in Lisbon?"]
        for question, worker in zip(questions, [*workers, None], strict=True):
            ask(first, question)
            for browser in (first, second):
                answers = questions.index(question) + 1
                wait(browser, f"{TEXT}.split('Is there anything else').length === {answers + 1} && {READY}")
            if worker is not None:
                with suppress(psutil.NoSuchProcess):  # uvicorn replaces a process that a busy machine has starved
                    worker.kill()  # one of the two holds the conversation
                psutil.wait_procs([worker], 30)
        wait(second, "source.readyState === 1")
        for browser in (first, second):
            asked = browser.run("[...page.querySelectorAll('.question')].map(box => box.textContent)")
            assert asked == questions
        assert first.run(TEXT) == second.run(TEXT)


ALLOW = """page.querySelectorAll('.approval button:first-of-type')
  .forEach(button => button.pressed || (button.pressed = true, button.click()))"""  # each question anew


@in_a_browser
@pytest.mark.timeout(300)
def test_a_run_whose_process_dies_is_followed_to_its_end(
    server: Server, processes: tuple[str, psutil.Process], chromium: Any
) -> None:
    address, program = processes
    with chromium.open(address, 800, 700) as first, chromium.open(address, 800, 700) as second:
        ask(first, "A table in Lisbon, please")
        wait(second, "page.querySelector('.approval button')")
        workers = [child for child in program.children() if "spawn_main" in " ".join(child.cmdline())]
        second.run("page.querySelector('.approval button').pressed = true")
        for worker in workers:  # one of them holds the conversation, and uvicorn replaces both
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        for browser in (second, first):
            wait(browser, f"({ALLOW}, {READY} && {TEXT}.includes('Is there anything else'))")
            assert browser.run(TEXT).count("a table for two, at eight") == 2  # as the call's output, and in the answer
            assert browser.run(TEXT).count("Is there anything else") == 1
        assert first.run(TEXT) == second.run(TEXT)
    assert sum(request.method == "POST" and request.path.endswith("/runs") for request in server.requests) == 1


@in_a_browser
def test_a_run_that_is_in_progress_when_the_page_begins_is_followed(
    server: Server, chromium: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concierge import Concierge, conversation

    run = Concierge.run

    async def stopping(self: Any, context: RunContext) -> AsyncIterator[Action]:
        number = 0
        async for action in run(self, context):
            yield action
            number += 1
            if number == 20:
                yield Gate("in the middle")

    monkeypatch.setattr(Concierge, "run", stopping)
    with conversation() as talk, AssistantClient(base_url=talk.base_url) as client:
        client.threads.messages.create(talk.thread_id, role="user", content="Tell me a story")
        begun = client.threads.runs.create(talk.thread_id, assistant_id=talk.assistant_id)
        with site(talk) as address, chromium.open(address, 800, 700) as browser:
            wait(browser, f"{TEXT}.includes('A stream of small events') && form.className === 'running'")
            server.release("in the middle")
            wait(browser, f"{READY} && $('#status').textContent.startsWith('completed')")
            assert browser.run(TEXT).count("A stream of small events") == 4
            ask(browser, "Hello")
            wait(browser, f"{READY} && {TEXT}.includes('Good day!')")
        assert client.threads.runs.retrieve(begun.id, talk.thread_id).status == "completed"


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(look: Callable[[], Any], scheme: str) -> None:
    with look() as browser:
        browser.show_as(scheme == "dark", 1)
        wait(browser, "source.readyState === 1")
        ask(browser, "an error, please")
        wait(browser, f"{READY} && page.querySelector('.problem')")
        for selector in (".question", ".message", ".problem", "#status", "textarea", "button", "label"):
            assert browser.run(CONTRAST % json.dumps(selector)) >= 4.5, selector


CONTRAST = """(selector => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number)
  const light = color => numbers(color).slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0)
  let box = document.querySelector(selector)
  const ink = light(getComputedStyle(box).color)
  while (numbers(getComputedStyle(box).backgroundColor)[3] === 0) box = box.parentElement
  const paper = light(getComputedStyle(box).backgroundColor)
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)
})(%s)"""

MARKDOWN = """# Soup

Some **bold**, *slanted* and `code` words, and [a link](https://example.org/x).
Second line <b>not bold</b>

- one
- two

1. first
2. second

> quoted

```python
print("**x**")
```
[bad](javascript:alert(1))"""

RENDERED = {
    "1. a\n   - b\n     - c\n2. d\n\n   e\n\n   ~~~\n   f\n     g\n   ~~~": (
        "<ol><li><p>a</p><ul><li><p>b</p><ul><li><p>c</p></li></ul></li></ul></li>"
        "<li><p>d</p><p>e</p><pre><button>copy</button><code>f\n  g</code></pre></li></ol>"
    ),
    "- a\n    - b\n\nc": "<ul><li><p>a</p><ul><li><p>b</p></li></ul></li></ul><p>c</p>",
    "3. a\n4. b": '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol>',
    "born in\n1986. Then\n1. x": "<p>born in\n1986. Then</p><ol><li><p>x</p></li></ol>",
    "- [ ] a\n- [x] b": "<ul><li><p>☐ a</p></li><li><p>☑ b</p></li></ul>",
    "t\n| a | b |\n|---|:-:|\n| 1 | `2` \\| 3 |\n\nu": (
        "<p>t</p><div><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td><code>2</code> | 3</td></tr></table></div>"
        "<p>u</p>"
    ),
    "a | b": "<p>a | b</p>",
    "> a\nb\n> > c": "<blockquote><p>a\nb</p><blockquote><p>c</p></blockquote></blockquote>",
    "a\n---\n* * *": "<p>a</p><hr><hr>",
    "***a*** ~~b~~ __c__ _d_ *e **f** g*": "<p><b><i>a</i></b> <del>b</del> <b>c</b> <i>d</i> <i>e <b>f</b> g</i></p>",
    "2 * 3 ** 4, snake_case_name, a\\*b\\*": "<p>2 * 3 ** 4, snake_case_name, a*b*</p>",
    "see https://a.example/b_c_d. (https://a.example/e)": (
        "<p>see <a>https://a.example/b_c_d</a>. (<a>https://a.example/e</a>)</p>"
    ),
    "````\n```\n````": "<pre><button>copy</button><code>```</code></pre>",
}

BARE = "d.innerHTML.replace(/ start=.1.| (href|target|rel|class|style|tabindex)=.[^\"]*.(?=[ >])/g, '')"


@in_a_browser
def test_markdown_is_shown_and_nothing_becomes_html(look: Callable[[], Any]) -> None:
    with look() as browser:
        wait(browser, "source.readyState === 1")
        browser.run(f"var box = add(page, 'div'); render(box, {json.dumps(MARKDOWN)})")
        counts = {
            tag: browser.run(f"box.querySelectorAll('{tag}').length") for tag in ("h1", "b", "i", "li", "a", "pre")
        }
        assert counts == {"h1": 1, "b": 1, "i": 1, "li": 4, "a": 1, "pre": 1}
        assert "<b>not bold</b>" in browser.run("box.textContent")
        assert browser.run("box.querySelector('pre code').textContent") == 'print("**x**")'
        assert "[bad](javascript:alert(1))" in browser.run("box.textContent")
        for markdown, html in RENDERED.items():
            browser.run(f"var d = document.createElement('div'); render(d, {json.dumps(markdown)})")
            assert browser.run(BARE) == html, markdown


@in_a_browser
def test_growing_markdown_keeps_what_has_the_focus_and_equals_the_whole(look: Callable[[], Any]) -> None:
    whole = "\n\n".join(["```\nfirst\n```", *RENDERED, MARKDOWN])
    with look() as browser:
        wait(browser, "source.readyState === 1")
        browser.run(f"var whole = {json.dumps(whole)}, grown = add(page, 'div'), once = add(page, 'div')")
        browser.run("render(grown, whole.slice(0, 20)); var button = grown.querySelector('button'); button.focus()")
        browser.run(
            "for (let end = 20; end <= whole.length; end++) render(grown, whole.slice(0, end)); render(once, whole)"
        )
        assert browser.run("document.activeElement === button && button.isConnected")
        assert browser.run("grown.innerHTML === once.innerHTML")


@in_a_browser
def test_a_smaller_page_still_follows_what_is_written(server: Server, look: Callable[[], Any]) -> None:
    with look() as browser:
        browser.run("document.body.style.height = '700px'")
        ask(browser, "Tell me a story")
        wait(browser, "page.scrollTop > 60")
        browser.run("document.body.style.height = '300px'")  # as when a telephone shows its keyboard
        wait(browser, f"{READY} && {TEXT}.split('for the others').length === 5")
        wait(browser, "page.scrollHeight - page.scrollTop - page.clientHeight < 40")


@in_a_browser
def test_the_page_fits_a_telephone(server: Server, look: Callable[[], Any]) -> None:
    with look() as browser:
        size = {"width": 360, "height": 740, "mobile": True, "deviceScaleFactor": 2}
        browser._browser.call("Emulation.setDeviceMetricsOverride", browser._session, **size)
        wait(browser, "source.readyState === 1 && innerWidth === 360")
        table = "| " + " | ".join(["a heading of some length"] * 9) + " |\n" + "|---" * 9 + "|"
        browser.run(f"render(part('wide', 'message'), {json.dumps(table)}); void (field.style.height = 'auto')")
        assert browser.run("[document.documentElement, page].every(box => box.scrollWidth <= box.clientWidth)")
        assert browser.run("$('.table').scrollWidth > $('.table').clientWidth")  # it scrolls by itself
        assert browser.run("field.scrollHeight <= field.clientHeight")  # the placeholder is not cut


@in_a_browser
def test_everything_that_a_run_says_is_shown(
    server: Server, look: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from concierge import Concierge
    from everything import EVERYTHING, SHOWN, everything

    monkeypatch.setattr(Concierge, "run", everything)
    with look() as browser:
        ask(browser, "Everything, please")
        wait(browser, f"{READY} && {TEXT}.includes('max_completion_tokens')")
        text = browser.run(TEXT)
        assert [said for said in SHOWN if said not in text] == []
        assert "**" not in text
        assert "【" not in text
        assert browser.run("page.querySelector('pre button').textContent") == "copy"
        assert browser.run("page.scrollWidth <= page.clientWidth")
    assert EVERYTHING
