"""A delta under another event name loses its text: the stream logs a warning, and `verify` refuses it."""

from __future__ import annotations

import pytest

import rx_assistant
from rx_assistant import errors, operators as ax

CREATED = b'event: thread.run.created\ndata: {"id":"run_1","object":"thread.run","thread_id":"t","status":"queued"}\n\n'
DELTA = (
    b'data: {"id":"msg_1","object":"thread.message.delta","delta":{"content":'
    b'[{"index":0,"type":"text","text":{"value":"Hi"}}]}}\n\n'
)
DONE = b"event: done\ndata: [DONE]\n\n"
NAMES = ["thread.message.delt", "thread.message.completed", "thread.run.queued", "thread.run.step.completed"]
SIZES = [1, 10**6]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_a_delta_under_another_name_is_logged_once(name: str, size: int, caplog: pytest.LogCaptureFixture) -> None:
    recording = CREATED + 2 * (b"event: " + name.encode() + b"\n" + DELTA) + DONE
    chunks = [recording[at : at + size] for at in range(0, len(recording), size)]
    assert len(list(rx_assistant.replay(chunks))) == 3
    [record] = [each for each in caplog.records if "its name was corrupted" in each.message]
    assert repr(name) in record.message
    assert "'thread.message.delta'" in record.message


@pytest.mark.parametrize("name", [*NAMES, "thread.run.step.delta"])
def test_verify_refuses_a_delta_under_another_name(name: str) -> None:
    recording = CREATED + b"event: " + name.encode() + b"\n" + DELTA + DONE
    with pytest.raises(errors.ProtocolError, match=r"the payload must match the event's name, got a 'thread\.message"):
        list(rx_assistant.replay(recording).pipe(ax.verify()))


def test_a_message_that_quotes_the_name_of_a_delta_is_sound(caplog: pytest.LogCaptureFixture) -> None:
    message = (
        b'event: thread.message.completed\ndata: {"id":"msg_1","object":"thread.message","content":'
        b'[{"type":"text","text":{"value":"\\"object\\": \\"thread.message.delta\\"","annotations":[]}}]}\n\n'
    )
    list(rx_assistant.replay(CREATED + message + DONE))
    assert "its name was corrupted" not in caplog.text
