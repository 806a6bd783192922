"""Every fluent method of an Observable, on a stream: its result has the face of the stream."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex
from cases import in_one_test
from hot.hot_rigs import AsyncRoot, SyncRoot
from reactivex import Observable, Subject, operators as ops
from reactivex.scheduler import ImmediateScheduler

from rx_assistant import hot
from rx_assistant.hot import AsyncStream, Stream

Root = SyncRoot | AsyncRoot


def true(*_: Any) -> bool:
    return True


def never(*_: Any) -> Observable[Any]:
    return reactivex.never()


NEVER: Observable[Any] = reactivex.never()


def first(*items: Any) -> Any:
    return items[0]


CALLS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ["all", "filter", "filter_indexed", "find", "find_index", "first", "last", "single", "skip_while", "some"],
        (true,),
    ),
    **dict.fromkeys(["skip_while_indexed", "take_while", "take_while_indexed", "partition"], (true,)),
    **dict.fromkeys(
        ["some", "partition_indexed", "do_while", "while_do", "count", "first_or_default", "single_or_default"], (true,)
    ),
    **dict.fromkeys(["map", "map_indexed", "max_by", "min_by", "reduce", "scan", "to_dict", "group_by"], (first,)),
    **dict.fromkeys(["starmap", "starmap_indexed", "average", "sum", "distinct", "distinct_until_changed"], (first,)),
    **dict.fromkeys(["concat_map", "expand", "flat_map", "flat_map_indexed", "flat_map_latest"], (never,)),
    **dict.fromkeys(["switch_map", "switch_map_indexed", "throttle_with_mapper", "buffer_when"], (never,)),
    **dict.fromkeys(["window_when", "catch"], (never,)),
    **dict.fromkeys(["buffer", "window", "amb", "combine_latest", "concat", "fork_join", "merge"], (NEVER,)),
    **dict.fromkeys(["on_error_resume_next", "sample", "sequence_equal", "skip_until", "take_until"], (NEVER,)),
    **dict.fromkeys(["with_latest_from", "zip", "zip_latest"], (NEVER,)),
    **dict.fromkeys(["buffer_toggle", "window_toggle"], (NEVER, never)),
    **dict.fromkeys(["join", "group_join"], (NEVER, never, never)),
    **dict.fromkeys(["buffer_with_count", "window_with_count", "element_at", "skip", "skip_last", "take"], (1,)),
    **dict.fromkeys(["take_last", "take_last_buffer", "contains", "repeat", "retry", "publish_value"], (1,)),
    **dict.fromkeys(["element_at_or_default", "last_or_default", "single_or_default_async"], (1,)),
    **dict.fromkeys(["buffer_with_time", "debounce", "delay", "delay_subscription", "skip_last_with_time"], (1.0,)),
    **dict.fromkeys(["skip_until_with_time", "skip_with_time", "take_last_with_time", "take_until_with_time"], (1.0,)),
    **dict.fromkeys(["take_with_time", "throttle_first", "throttle_with_timeout", "timeout"], (1.0,)),
    **dict.fromkeys(["window_with_time"], (1.0,)),
    **dict.fromkeys(["buffer_with_time_or_count", "window_with_time_or_count"], (1.0, 1)),
    **dict.fromkeys(["observe_on", "subscribe_on"], (ImmediateScheduler(),)),
    "delay_with_mapper": (NEVER, never),
    "do": (first,),
    "do_action": (first,),
    "finally_action": (true,),
    "group_by_until": (first, first, never),
    "multicast": (Subject(),),
    "pluck": ("key",),
    "pluck_attr": ("real",),
    "slice": (1, 3),
    "start_with": (1, 2),
    "timeout_with_mapper": (NEVER, never),
    "zip_with_iterable": ([1, 2],),
    **dict.fromkeys(["as_observable", "concat_all", "default_if_empty", "dematerialize", "exclusive"], ()),
    **dict.fromkeys(["ignore_elements", "is_empty", "materialize", "max", "merge_all", "min", "pairwise"], ()),
    **dict.fromkeys(["publish", "replay", "share", "switch_latest", "time_interval", "timestamp"], ()),
    **dict.fromkeys(["to_iterable", "to_list", "to_marbles", "to_set"], ()),
}

NO_OPERATORS = {"pipe", "run", "subscribe", "to_future"}
ONLY_ON_CONNECTABLES = {"ref_count"}


@pytest.fixture(params=[SyncRoot, AsyncRoot], ids=["sync", "async"])
def root(request: pytest.FixtureRequest) -> Root:
    root: Root = request.param()
    return root


def face(root: Root) -> type:
    return AsyncStream if isinstance(root, AsyncRoot) else Stream


def test_the_table_of_fluent_methods_is_complete() -> None:
    public = {name for name in dir(Observable) if not name.startswith("_")}
    public = {name for name in public if callable(getattr(Observable, name))}
    assert public - CALLS.keys() - NO_OPERATORS - ONLY_ON_CONNECTABLES == set()


@in_one_test("name", sorted(CALLS))
def test_a_fluent_method_gives_a_stream_of_the_same_face(root: Root, name: str) -> None:
    result = getattr(root, name)(*CALLS[name])
    for one in result if isinstance(result, list) else [result]:
        assert isinstance(one, face(root))
        assert one.origin is root


def test_ref_count_of_what_was_published_is_a_stream_too(root: Root) -> None:
    published: Any = root.publish()
    assert isinstance(published.ref_count(), face(root))
    assert isinstance(published.auto_connect(1), face(root))


@pytest.mark.parametrize(
    "make",
    [lambda s: s[0], lambda s: s[1:3], lambda s: s + s, lambda s: s.pipe(), lambda s: s.map(str).map(str)[2:]],
    ids=["index", "slice", "plus", "pipe", "chain"],
)
def test_what_python_syntax_makes_of_a_stream_is_a_stream(root: Root, make: Callable[[Any], Any]) -> None:
    assert isinstance(make(root), face(root))


def test_adding_in_place_is_concatenating(root: Root) -> None:
    stream: Any = root
    stream += reactivex.of("x")
    assert isinstance(stream, face(root))
    got: list[Any] = []
    stream.subscribe(got.append)
    root.log.push(1)
    root.finish()
    assert got == [1, "x"]


def test_groups_and_windows_are_streams_of_the_same_face(root: Root) -> None:
    groups: list[Any] = []
    windows: list[Any] = []
    members: list[Any] = []
    root.group_by(lambda item: item % 2).subscribe(groups.append)
    root.group_by(lambda item: item % 2).flat_map(lambda group: group.map(lambda item: (group.key, item))).subscribe(
        members.append
    )
    root.window_with_count(2).subscribe(windows.append)
    for number in range(4):
        root.log.push(number)
    assert [group.key for group in groups] == [0, 1]
    assert members == [(0, 0), (1, 1), (0, 2), (1, 3)]
    assert len(windows) >= 2
    assert all(isinstance(inner, face(root)) for inner in groups + windows)


def test_a_subject_of_ones_own_is_passed_as_it_is(root: Root) -> None:
    subject: Subject[int] = Subject()
    got: list[Any] = []
    root.map(lambda _: subject).subscribe(got.append)
    root.log.push(1)
    assert got[0] is subject


def test_what_is_no_observable_comes_out_of_pipe_as_it_is(root: Root) -> None:
    assert root.pipe(ops.map(str), lambda source: 7) == 7


def test_an_attribute_that_nobody_has_is_missed_under_its_name(root: Root) -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = root.no_such_thing
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = root.map(str).no_such_thing  # type: ignore[attr-defined]


@pytest.mark.parametrize(("stub", "name"), [("fluent", "Fluent"), ("async_fluent", "AsyncFluent")])
def test_type_checkers_see_every_fluent_method_with_the_parameters_of_reactivex(stub: str, name: str) -> None:
    tree = ast.parse(Path(hot.__file__).with_name(f"{stub}.pyi").read_text("utf-8"))
    (face,) = (each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name)
    declared: dict[str, set[str]] = {}
    for each in face.body:
        if isinstance(each, ast.FunctionDef):
            arguments = each.args
            names = [*arguments.args, *arguments.kwonlyargs, arguments.vararg]
            declared.setdefault(each.name, set()).update(one.arg for one in names if one is not None)
    wanted = {method: set(inspect.signature(getattr(Observable, method)).parameters) for method in CALLS}
    assert {method: declared.get(method) for method in wanted} == wanted
