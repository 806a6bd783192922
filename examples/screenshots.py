"""Pictures of the chat examples for the README: each chat gets two questions, and is shown during the second answer.

pip install pillow               and, on Debian: apt-get install xvfb chromium fonts-inter
python examples/screenshots.py docs/images
python examples/screenshots.py --dark --dpi 192 somewhere
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import fcntl
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from concierge import conversation, tools

from rx_assistant import AssistantClient, AssistantStream, AsyncAssistantStream, Conversation

QUESTIONS = ["Good morning!", "What is the weather in Prague and Tokyo, and what time is it there?"]
PACE = 0.01


def is_telling(stream: AssistantStream | AsyncAssistantStream | None) -> bool:
    """Whether the answer to the last question is long enough for a good picture."""
    return stream is not None and stream.snapshot.text.count(":") >= 6


@contextmanager
def talking() -> Generator[tuple[AssistantClient, Conversation]]:
    """The client and the conversation of a window."""
    with (
        conversation(PACE) as whom,
        AssistantClient(base_url=whom.base_url) as client,
        client.conversation(whom.assistant_id, whom.thread_id, tools=tools) as talk,
    ):
        yield client, talk


@dataclass(frozen=True)
class Look:
    """The look of the pictures, and their folder."""

    target: Path
    dark: bool = False
    dpi: int = 96

    @property
    def scale(self) -> float:
        return self.dpi / 96


def tk(look: Look) -> None:
    import tkinter

    from chat_tk import ChatWindow
    from PIL import ImageGrab

    questions = QUESTIONS.copy()
    with display(look.dpi), talking() as (client, talk):
        root = tkinter.Tk()
        window = ChatWindow(root, client, talk, dark=look.dark)

        def step() -> None:
            if not window.turns.busy and questions:
                window.entry.insert("1.0", questions.pop(0))
                window.send()
            elif not questions and is_telling(window.turns.stream):
                root.update()
                left, top = root.winfo_rootx(), root.winfo_rooty()
                area = (left, top, left + root.winfo_width(), top + root.winfo_height())
                ImageGrab.grab(area, xdisplay=os.environ["DISPLAY"]).save(look.target / "chat_tk.png")
                root.destroy()
                return
            root.after(10, step)

        step()
        root.mainloop()


def qt(look: Look) -> None:
    os.environ["QT_QPA_PLATFORM"], os.environ["QT_SCALE_FACTOR"] = "offscreen", str(look.scale)
    from chat_qt import ChatWindow
    from PySide6.QtCore import Qt, QTimer
    from PySide6.QtWidgets import QApplication

    questions, app = QUESTIONS.copy(), QApplication([])
    with talking() as (client, talk):
        window = ChatWindow(client, talk)
        window.resize(760, 750)
        window.paint(Qt.ColorScheme.Dark if look.dark else Qt.ColorScheme.Light)
        window.show()

        def step() -> None:
            if not window.turns.busy and questions:
                window.entry.setPlainText(questions.pop(0))
                window.send()
            elif not questions and is_telling(window.turns.stream):
                for _ in range(5):
                    app.processEvents()  # the new text gets its layout, and the page scrolls to it
                window.grab().save(str(look.target / "chat_qt.png"))
                window.close()

        timer = QTimer()
        timer.timeout.connect(step)
        timer.start(10)
        app.exec()


async def textual(look: Look) -> None:
    from chat_textual import Chat, Entry

    with conversation(5 * PACE) as talk:
        app = Chat(talk)
        async with app.run_test(size=(96, 38)) as pilot:
            app.theme = "textual-dark" if look.dark else "textual-light"
            for question in QUESTIONS:
                while app.turns.busy:  # no event tells the end of an answer
                    await pilot.pause(PACE)
                app.query_one(Entry).text = question
                app.action_ask()
            while not is_telling(app.turns.stream):
                await pilot.pause(PACE)
            await pilot.pause(5 * PACE)  # the new text is painted
            picture = app.export_screenshot()
    page = base64.b64encode(picture.encode()).decode()
    with Browser() as browser, browser.open(f"data:text/html;charset=utf-8;base64,{page}", 1180, 1080) as shown:
        shown.photograph(look.target / "chat_textual.png", "svg")


def web(look: Look) -> None:
    import uvicorn
    from web import application

    with conversation(PACE) as talk:
        server = uvicorn.Server(uvicorn.Config(application(talk), port=8089, log_level="error"))
        serving = threading.Thread(target=server.run)
        serving.start()
        with Browser() as browser, browser.open("http://127.0.0.1:8089/", 760, 790) as page:
            page.show_as(look.dark, look.scale)
            for question in QUESTIONS:
                page.wait("document.querySelector('form').className === '' && source.readyState === 1")
                page.run(f"field.value = {json.dumps(question)}; form.requestSubmit()")
                page.wait("document.querySelector('form').className === 'running'")
            page.wait("page.lastChild.className === 'message' && page.lastChild.textContent.split(':').length > 6")
            page.photograph(look.target / "web.png", "body")
        server.should_exit = True
        serving.join()


class Browser:
    """Headless Chromium, controlled over a pipe by the DevTools protocol."""

    FLAGS = (
        "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update --disable-default-apps --disable-extensions "
        "--disable-breakpad --hide-scrollbars --remote-debugging-pipe"
    )

    def __init__(self) -> None:
        self._number = 0

    def __enter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (its_in, our_out), (our_in, its_out) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (its_in, its_out)]  # above 3 and 4, which they become
        command = ["chromium", *self.FLAGS.split(), f"--user-data-dir={self._profile.name}", "about:blank"]
        become = "import os, sys; [os.dup2(int(end), 3 + n) for n, end in enumerate(sys.argv[1:3])]"
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{become}; os.execvp(sys.argv[3], sys.argv[3:])", *map(str, ends), *command],
            pass_fds=ends,
            stderr=subprocess.DEVNULL,
        )
        for end in (its_in, its_out, *ends):
            os.close(end)
        self._out, self._in = os.fdopen(our_out, "wb"), os.fdopen(our_in, "rb")
        return self

    def __exit__(self, *_: object) -> None:
        self.call("Browser.close")
        self._process.wait(10)
        self._out.close()
        self._in.close()
        self._profile.cleanup()

    def open(self, url: str, width: int, height: int) -> Page:
        """A page in its own profile with its own connections, like another person's browser."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url=url, browserContextId=context, width=width, height=height)
        session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        page = Page(self, context, session)
        page.wait("document.readyState === 'complete'")
        return page

    def call(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """The result of a method of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while (answer := json.loads(self._read())).get("id") != self._number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def _read(self) -> bytes:
        message = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser is gone")
            message += byte
        return bytes(message)


class Page:
    """A page that a browser has opened."""

    def __init__(self, browser: Browser, context: str, session: str) -> None:
        self._browser, self._context, self._session = browser, context, session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._browser.call("Runtime.evaluate", self._session, expression=script, returnByValue=True)
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Return when a JavaScript expression is true; TimeoutError when that does not happen."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with suppress(RuntimeError):  # the browser is loading another page
                if self.run(f"Boolean({condition})"):
                    return
            time.sleep(0.01)
        raise TimeoutError(f"{condition!r} did not come true")

    def show_as(self, dark: bool, scale: float) -> None:
        """Use a colour scheme, and so many pixels of the screen for one of the page."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._browser.call("Emulation.setEmulatedMedia", self._session, features=[scheme])
        size = {"width": 0, "height": 0, "mobile": False, "deviceScaleFactor": scale}
        self._browser.call("Emulation.setDeviceMetricsOverride", self._session, **size)

    def photograph(self, path: Path, selector: str) -> None:
        """Write a picture of one element."""
        self.wait(f"document.querySelector({selector!r})")
        box = self.run(f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())")
        area = {name: json.loads(box)[name] for name in ("x", "y", "width", "height")}
        picture = self._browser.call("Page.captureScreenshot", self._session, clip={**area, "scale": 1})["data"]
        path.write_bytes(base64.b64decode(picture))


@contextmanager
def display(dpi: int) -> Generator[None]:
    """An X server without a screen."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "2560x1800x24", "-dpi", str(dpi)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        os.environ["DISPLAY"] = f":{server.stdout.readline().strip()}"
        yield
        server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description="Pictures of the chat examples")
    parser.add_argument("target", type=Path, nargs="?", default=Path())
    parser.add_argument("--dark", action="store_true", help="dark colours, where the example has them")
    parser.add_argument("--dpi", type=int, default=96, help="dots per inch of the screen")
    look = Look(**vars(parser.parse_args()))
    look.target.mkdir(parents=True, exist_ok=True)
    tk(look)
    gc.collect()  # what is left of Tk may not be collected on another thread
    qt(look)
    asyncio.run(textual(look))
    web(look)


if __name__ == "__main__":
    main()
