"""Law L5 for handlers: everything is created once, grows, and is done at most once, under any disorder.

Over generated streams, each call is compared with a reference that only reads the frames: on every face, for early and
late handlers, on streams that end and on streams that break.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from generated import Generated, lossy_streams, messy_streams, streams
from handlers_faces import FACES, Face, got, recorder
from handlers_reference import Reference, Told, file_of, output_of
from hypothesis import given, settings, strategies as st

from rx_assistant import StreamTruncatedError

ANY = st.one_of(streams(), messy_streams(), lossy_streams())
LAW = settings(max_examples=60, deadline=None)
FEWER = settings(max_examples=25, deadline=None)
faces = pytest.mark.parametrize("face", FACES, ids=repr)


def dump(model: Any) -> Any:
    return model.model_dump(exclude_unset=True, by_alias=True)


def value_of(call: Any) -> Any:
    inside = getattr(call, call.type)
    return getattr(inside, {"function": "arguments", "code_interpreter": "input"}.get(call.type, ""), "") or ""


def said_in(delta: Any) -> Any:
    inside = getattr(delta, delta.type)
    return getattr(inside, {"function": "arguments", "code_interpreter": "input"}.get(delta.type, ""), None)


def pieces_in(delta: Any) -> int:
    return len(delta.content if hasattr(delta, "content") else delta.step_details.tool_calls)


SHOWN = {
    "on_event": lambda event: (event.event,),
    "on_run_status": lambda run: (run.status,),
    "on_requires_action": lambda run: (run.id,),
    "on_message_created": lambda message: (message.id,),
    "on_message_delta": lambda delta, snapshot: (snapshot.id, pieces_in(delta)),
    "on_message_done": lambda message: (dump(message),),
    "on_run_step_created": lambda step: (step.id,),
    "on_run_step_delta": lambda delta, snapshot: (snapshot.id, pieces_in(delta)),
    "on_run_step_done": lambda step: (dump(step),),
    "on_text_created": lambda text: (text.value,),
    "on_text_delta": lambda delta, snapshot: (delta.value, snapshot.value),
    "on_text_done": lambda text: (dump(text),),
    "on_annotation": lambda annotation, text: (file_of(dump(annotation)),),
    "on_refusal_delta": lambda delta, snapshot: (delta.refusal, snapshot.refusal),
    "on_refusal_done": lambda refusal: (dump(refusal),),
    "on_image_file_done": lambda image: (dump(image),),
    "on_image_url_done": lambda image: (dump(image),),
    "on_tool_call_created": lambda call: (call.type, call.id, value_of(call)),
    "on_tool_call_delta": lambda delta, snapshot: (delta.type, said_in(delta), value_of(snapshot)),
    "on_tool_call_done": lambda call: (dump(call),),
    "on_code_output": lambda output, call: (output_of(dump(output)),),
    "on_end": lambda: (),
    "on_exception": lambda error: (type(error),),
    "on_timeout": lambda: (),
}


def shown(handler: Any, name: str, *arguments: Any) -> Told:
    """A call in the reference's words."""
    return name, *SHOWN[name](*arguments)


def expected(frames: Sequence[tuple[str, Any]]) -> list[Told]:
    reference = Reference()
    return [told for name, payload in frames for told in reference.told(name, payload)]


@faces
@LAW
@given(stream=ANY, rng=st.randoms(use_true_random=False))
def test_callbacks_are_what_the_frames_say(face: Face, stream: Generated, rng: Any) -> None:
    main, attached = recorder(face, show=shown), recorder(face, show=shown)

    async def scenario() -> None:
        made = face.stream(*cut(stream.body, rng), handler=main)
        made.attach(attached)
        async with face.block(made) as given:
            await got(given.until_done())

    face.play(scenario())
    assert main.calls == [*expected(stream.frames), ("on_end",)]
    assert attached.calls == main.calls


@faces
@FEWER
@given(stream=ANY, rng=st.randoms(use_true_random=False))
def test_a_late_handler_gets_the_same_calls(face: Face, stream: Generated, rng: Any) -> None:
    main, late, last = (recorder(face, show=shown) for _ in range(3))
    after = rng.randrange(len(stream.frames))

    async def scenario() -> None:
        made = face.stream(stream.body, handler=main)
        async with face.block(made) as given:
            count = 0
            async for _ in face.each(given):
                if count == after:
                    made.attach(late)
                count += 1
            made.attach(last)
            await got(given.until_done())

    face.play(scenario())
    assert main.calls == late.calls == last.calls == [*expected(stream.frames), ("on_end",)]


@faces
@FEWER
@given(stream=ANY)
def test_a_stream_without_replay_makes_the_same_calls(face: Face, stream: Generated) -> None:
    main, attached = recorder(face, show=shown), recorder(face, show=shown)

    async def scenario() -> None:
        made = face.stream(stream.body, handler=main, replay="none")
        made.attach(attached)
        async with face.block(made) as given:
            await got(given.until_done())

    face.play(scenario())
    assert main.calls == attached.calls == [*expected(stream.frames), ("on_end",)]


@faces
@FEWER
@given(stream=streams(), rng=st.randoms(use_true_random=False))
def test_a_stream_that_breaks_has_delivered_all_earlier_events(face: Face, stream: Generated, rng: Any) -> None:
    frames = stream.frames[: rng.randrange(1, 1 + [name for name, _ in stream.frames].index("thread.run.in_progress"))]
    frames += [frame for frame in stream.frames[len(frames) :] if "run.step" in frame[0] or "message" in frame[0]]
    handler = recorder(face, show=shown)

    async def scenario() -> None:
        broken = Generated(frames=frames, ascii_only=stream.ascii_only)
        body = broken.body.removesuffix(b"event: done\ndata: [DONE]\n\n")
        async with face.block(face.stream(body, handler=handler)) as given:
            with pytest.raises(StreamTruncatedError):
                await got(given.until_done())

    face.play(scenario())
    assert handler.calls == [*expected(frames), ("on_exception", StreamTruncatedError), ("on_end",)]


def cut(body: bytes, rng: Any) -> list[bytes]:
    """The body in chunks of one random size."""
    size = rng.choice((17, 301, 4_000, len(body)))
    return [body[start : start + size] for start in range(0, len(body), size)]
