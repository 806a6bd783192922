"""A tool call while it is being made: its fields, arguments parsed so far, outputs; and the step around it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from generated import Generated, messy_streams, streams
from hypothesis import given, settings, strategies as st
from operators_wire import (
    arguments,
    call_delta,
    cut,
    finish,
    function,
    requires,
    run,
    seen,
    step,
    stream_of,
    text,
)
from pydantic import BaseModel
from reactivex import operators as ops

from rx_assistant import AssistantStream, PartialArgumentsError, StreamTruncatedError, operators as ax, replay
from rx_assistant.hot import operator
from rx_assistant.partial_json import parse_partial
from rx_assistant.types import CodeInterpreterLogs, CodeInterpreterOutputImage, FunctionToolCall

LAW = settings(max_examples=40, deadline=None)
FIRST = arguments("", id="call_1", name="weather")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


class Weather(BaseModel):
    city: str
    days: int = 1


def call_with(*pieces: str, done: str | None = None) -> AssistantStream:
    """A stream of one function call, written in these pieces, and done by its step unless told otherwise."""
    whole = "".join(pieces) if done is None else done
    return stream_of(FIRST, *map(arguments, pieces), step("completed", function("call_1", whole, "weather")))


def partial(stream: AssistantStream, model: Any = None) -> Any:
    return stream.pipe(ax.tool_calls(), ops.flat_map(lambda call: call.partial_arguments(model)))


# -- fields -----------------------------------------------------------------------------------------------------------


def test_a_call_knows_its_identity_as_far_as_the_server_has_told_it() -> None:
    shown: list[tuple[Any, ...]] = []
    stream = stream_of(
        arguments("{", 1, of="step_9"),
        arguments("}", 1, of="step_9", id="call_7", name="f"),
        step("completed", function("call_7", "{}"), of="step_9"),
    )

    def watch(call: ax.ToolCallStream) -> None:
        note = lambda *_: shown.append((call.id, call.name))  # noqa: E731
        note()
        call.subscribe(note)
        assert (call.type, call.step_id, call.index) == ("function", "step_9", 1)

    stream.pipe(ax.tool_calls()).subscribe(watch)
    finish(stream)
    assert shown == [("", None), ("", None), ("call_7", "f")]


def test_a_call_says_what_it_is() -> None:
    [call] = list(call_with("{}").pipe(ax.tool_calls()))
    assert repr(call) == "ToolCallStream(id='call_1', type='function', name='weather', step_id='step_1', index=0)"


def test_calls_are_selected_by_type() -> None:
    search = {"type": "file_search", "file_search": {}}
    stream = stream_of(
        call_delta("step_1", {"index": 0, "id": "a", **search}, {"index": 1, "id": "b", "type": "magic"}),
        arguments("", 2, id="c", name="f"),
    )
    found = {
        kind: [call.id for call in stream.pipe(ax.tool_calls(kind))]
        for kind in (None, "function", "file_search", "magic", "code_interpreter")
    }
    assert found == {
        None: ["a", "b", "c"],
        "function": ["c"],
        "file_search": ["a"],
        "magic": ["b"],
        "code_interpreter": [],
    }
    names = [(call.type, call.name) for call in stream.pipe(ax.tool_calls())]
    assert names == [("file_search", None), ("magic", None), ("function", "f")]


def test_snapshots_of_a_call_grow_and_end_with_the_servers_object() -> None:
    [call] = list(call_with('{"a"', ": 1}").pipe(ax.tool_calls()))
    grown = [snapshot.function.arguments for snapshot in call.snapshots]
    assert grown == ["", '{"a"', '{"a": 1}', '{"a": 1}']
    assert all(isinstance(snapshot, FunctionToolCall) for snapshot in call.snapshots)
    assert call.done.run() == call.snapshots.run()


# -- arguments parsed so far ------------------------------------------------------------------------------------------


def test_arguments_appear_as_they_are_written() -> None:
    assert list(partial(call_with('{"ci', 'ty": "Pa', 'ris", "days', '": 1', "2}"))) == [
        {},
        {"city": "Pa"},
        {"city": "Paris"},
        {"city": "Paris", "days": 12},
    ]


@LAW
@given(JSON, st.data())
def test_a_value_lags_by_a_tenth_at_most_and_the_last_is_exact(value: Any, data: st.DataObject) -> None:
    whole = json.dumps(value)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    stream = call_with(*pieces)
    so_far, last = [""], [None]
    [call] = list(stream.pipe(ax.tool_calls()))

    def check_lag(piece: str) -> None:
        so_far[0] += piece
        length = len(so_far[0])
        shown = [parse_partial(so_far[0][:end]) for end in range(length - length // 10, length + 1)]
        assert last[0] in shown

    call.partial_arguments().subscribe(lambda value: last.__setitem__(0, value))
    values = list(call.partial_arguments())
    assert values[-1:] == [value]
    assert last[0] == value
    last[0] = None
    fresh: Any = call_with(*pieces)
    errors: list[Exception] = []

    def watch(call: ax.ToolCallStream) -> None:
        call.partial_arguments().subscribe(lambda value: last.__setitem__(0, value), errors.append)
        call.argument_deltas.subscribe(check_lag, errors.append)

    fresh.pipe(ax.tool_calls()).subscribe(watch)
    finish(fresh)
    assert not errors


@LAW
@given(st.one_of(streams(), messy_streams()))
def test_over_any_stream_the_arguments_are_parsed_or_refused_with_their_text(generated: Generated) -> None:
    for call in list(replay(generated.body).pipe(ax.tool_calls())):
        notes, done = seen(call.partial_arguments()), call.done.run()
        if done.type != "function":
            assert (notes.items, notes.endings) == ([], [None])
            continue
        try:
            expected = json.loads(done.function.arguments)
        except ValueError:
            assert isinstance(notes.error, PartialArgumentsError)
            assert notes.error.arguments == done.function.arguments
        else:
            assert notes.endings == [None]
            assert notes.items[-1] == expected


def test_with_a_model_the_last_value_is_an_instance_of_it() -> None:
    values = list(partial(call_with('{"city": "Par', 'is"}'), Weather))
    assert values == [{"city": "Par"}, {"city": "Paris"}, Weather(city="Paris")]
    assert isinstance(values[-1], Weather)


@pytest.mark.parametrize(
    ("pieces", "model", "words"),
    [
        (['{"city": 5}'], Weather, "must be Weather, got"),
        (['{"town": "', 'Paris"}'], Weather, "city"),
        (['{"city": "Paris"'], Weather, "must be Weather, got"),
        (['{"city": "Paris"'], None, "must be JSON, got"),
        (["{]", "}"], None, "must be JSON, got"),
        ([], None, "must be JSON, got"),
    ],
)
def test_arguments_that_do_not_fit_are_an_error_with_their_text(pieces: list[str], model: Any, words: str) -> None:
    stream = call_with(*pieces)
    notes, others = seen(partial(stream, model)), seen(stream.pipe(ax.tool_calls(), ops.flat_map(lambda c: c.done)))
    finish(stream)
    assert isinstance(notes.error, PartialArgumentsError)
    assert notes.error.arguments == "".join(pieces)
    assert notes.error.__cause__ is not None
    assert words in str(notes.error)
    assert (len(others.items), others.endings) == (1, [None])


def by_loops(stream: AssistantStream, read: Any) -> list[Any]:
    return [read(call) for call in stream.pipe(ax.tool_calls())]


def late(stream: AssistantStream, read: Any) -> list[Any]:
    calls = list(stream.pipe(ax.tool_calls()))
    return [read(call) for call in calls]


BAD = [('{"city": 5}', Weather), ('{"city": "Paris"', Weather), ("{'city': 1}", None), ('{"city": 1} ok', None)]


@pytest.mark.parametrize(("read_calls", "policy"), [(by_loops, "all"), (by_loops, "none"), (late, "all")])
@pytest.mark.parametrize("ending", ["step", "requires"])
@pytest.mark.parametrize(("whole", "model"), BAD)
def test_a_loop_over_arguments_that_do_not_fit_ends_with_the_error(
    whole: str, model: Any, ending: str, read_calls: Any, policy: Any
) -> None:
    last = requires(function("call_1", whole)) if ending == "requires" else step("completed", function("call_1", whole))

    def stream() -> AssistantStream:
        return stream_of(run("created"), FIRST, arguments(whole[:4]), arguments(whole[4:]), last, replay=policy)

    readings: list[Any] = [lambda call: call.partial_arguments(model).run()]
    readings += [lambda call: list(call.partial_arguments(model))]
    readings += [lambda call: list(call.partial_arguments(model).pipe(ops.map(str), ops.filter(bool)))]
    for read in readings:
        with pytest.raises(PartialArgumentsError) as caught:
            read_calls(stream(), read)
        assert caught.value.arguments == whole


def test_a_loop_over_a_steps_calls_ends_with_the_error_of_an_operator_in_it() -> None:
    def refuse(down: Any, scope: Any) -> Any:
        def on_moment(moment: Any) -> None:
            if getattr(moment, "phase", None) == "done":
                raise ValueError("refused")

        return on_moment

    stream = call_with("{}")
    with pytest.raises(ValueError, match="refused"):
        for each in stream.pipe(ax.run_steps()):
            list(operator(refuse)(each._moments))  # type: ignore[call-overload]  # any operator of this package that raises


def test_long_arguments_are_not_repeated_whole_in_the_message() -> None:
    stream = call_with("x" * 10_000)
    notes = seen(partial(stream))
    finish(stream)
    assert len(str(notes.error)) < 400


def test_the_servers_final_arguments_win() -> None:
    assert list(partial(call_with('{"a": 1', done='{"a": 2}'))) == [{}, {"a": 2}]
    [shown, final] = list(partial(call_with('{"a": 1}', done='{"a": true}')))
    assert (shown["a"], final["a"]) == (1, True)
    assert final["a"] is True


def test_arguments_that_come_whole_are_parsed_once() -> None:
    completed = step("completed", function("call_1", '{"a": 1}'))
    assert list(partial(stream_of(completed))) == [{"a": 1}]
    begun = stream_of(step("created", function("call_1", '{"a"')), arguments(": 1}"), completed)
    assert list(partial(begun)) == [{}, {"a": 1}]


def test_arguments_of_a_call_that_is_left_open_are_read_to_their_end() -> None:
    whole = json.dumps({"a": "x" * 100})
    stream = stream_of(FIRST, arguments(whole[:-4]), arguments(whole[-4:-2]), requires())
    assert list(partial(stream, Weather)) == [{"a": "x" * 98}, {"a": "x" * 100}]


def test_a_broken_stream_ends_the_arguments_with_its_error() -> None:
    stream = cut(FIRST, arguments('{"a": [1, '))
    notes = seen(partial(stream))
    finish(stream)
    assert notes.items == [{"a": [1]}]
    assert isinstance(notes.error, StreamTruncatedError)


def test_code_has_no_arguments_to_parse() -> None:
    code = {"type": "code_interpreter", "code_interpreter": {"input": "[1]"}}
    stream = stream_of(call_delta("step_1", {"index": 0, "id": "a", **code}), step("completed", {"id": "a", **code}))
    assert list(partial(stream)) == []
    assert list(stream.pipe(ax.tool_calls(), ops.flat_map(lambda call: call.argument_deltas))) == ["[1]"]


# -- outputs ----------------------------------------------------------------------------------------------------------


def code_delta(**code: Any) -> Any:
    return call_delta("step_1", {"index": 0, "type": "code_interpreter", "code_interpreter": code})


LOGS = {"type": "logs", "logs": "2\n"}
DRAWN = {"type": "image", "image": {"file_id": "file_1"}}


def outputs_of(*events: Any) -> list[Any]:
    return list(stream_of(*events).pipe(ax.tool_calls(), ops.flat_map(lambda call: call.outputs)))


def test_outputs_come_as_they_are_sent() -> None:
    final = {"id": "a", "type": "code_interpreter", "code_interpreter": {"input": "", "outputs": [LOGS, DRAWN]}}
    found = outputs_of(
        code_delta(input="1+1", outputs=[]),
        code_delta(outputs=[{"index": 0, **LOGS}, {"index": 1, **DRAWN}]),
        step("completed", final),
    )
    assert [output.index for output in found] == [0, 1]
    assert isinstance(found[0], CodeInterpreterLogs)
    assert found[0].logs == "2\n"
    assert isinstance(found[1], CodeInterpreterOutputImage)
    assert found[1].image is not None
    assert found[1].image.file_id == "file_1"


def test_outputs_that_only_a_whole_step_shows_come_too() -> None:
    def whole(name: str, *outputs: Any) -> Any:
        code = {"input": "", "outputs": list(outputs)}
        return step(name, {"id": "a", "type": "code_interpreter", "code_interpreter": code})

    assert [each.index for each in outputs_of(whole("completed", LOGS, DRAWN))] == [0, 1]
    found = outputs_of(whole("created", LOGS), code_delta(outputs=[{"index": 1, **DRAWN}]), whole("completed", LOGS))
    assert [(each.index, each.type) for each in found] == [(0, "logs"), (1, "image")]
    assert [each.type for each in outputs_of(code_delta(outputs=[LOGS]), whole("completed", LOGS, DRAWN))] == [
        "logs",
        "image",
    ]


def test_a_function_has_no_outputs_here() -> None:
    stream = stream_of(FIRST, step("completed", function("call_1", "{}", output="5")))
    assert list(stream.pipe(ax.tool_calls(), ops.flat_map(lambda call: call.outputs))) == []


# -- the step around it -----------------------------------------------------------------------------------------------


def test_a_step_gives_its_calls_and_they_end_when_the_run_requires_action() -> None:
    stream = stream_of(
        step("created"),
        FIRST,
        arguments("{}"),
        requires(function("call_1", "{}")),
        text("meanwhile"),
        step("completed", function("call_1", "{}", output="5")),
    )
    found: list[tuple[str, Any, list[str]]] = []

    def note(call: ax.ToolCallStream) -> None:
        done = seen(call.done)
        stream.subscribe(lambda event: done.items and found.append((call.id, event.event, done.items)) and None)

    stream.pipe(ax.run_steps(), ops.flat_map(lambda each: each.tool_calls)).subscribe(note)
    finish(stream)
    assert found[0][:2] == ("call_1", "thread.run.requires_action")
    [each] = list(stream.pipe(ax.run_steps()))
    [call] = list(each.tool_calls)
    assert call.done.run().function.output is None
    assert each.done.run().step_details.tool_calls[0].function.output == "5"
    assert (each.id, each.type) == ("step_1", "tool_calls")
    assert [dict(delta.step_details)["type"] for delta in each] == ["tool_calls", "tool_calls"]


def test_a_steps_calls_are_read_in_loops_too() -> None:
    stream = stream_of(
        step("created"),
        FIRST,
        arguments("1"),
        arguments("", 1, id="call_2", name="f"),
        arguments("2", 1),
        step("completed", function("call_1", "1"), function("call_2", "2")),
    )
    found = [
        (each.id, call.id, "".join(call.argument_deltas))
        for each in stream.pipe(ax.run_steps())
        for call in each.tool_calls
    ]
    assert found == [("step_1", "call_1", "1"), ("step_1", "call_2", "2")]


def test_a_message_gives_its_texts() -> None:
    stream = stream_of(text("a"), text("x", 1), text("b"), text("y", of="msg_2"))
    found = [(each.id, part.index, "".join(part)) for each in stream.pipe(ax.message_streams()) for part in each.texts]
    assert found == [("msg_1", 0, "ab"), ("msg_1", 1, "x"), ("msg_2", 0, "y")]
    assert ["".join(each.text_deltas) for each in stream.pipe(ax.message_streams())] == ["axb", "y"]
