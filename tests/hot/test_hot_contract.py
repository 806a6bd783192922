"""The contract over everything on a hot log: roots of both faces, operators, pipes, fluent methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hot.contract import Contract, sample
from hot.hot_rigs import AsyncRoot, Rig, SyncRoot
from reactivex import operators as ops

from rx_assistant.hot import Hooks, Scope, Sink, operator

Root = SyncRoot | AsyncRoot


def bare(root: Root) -> Rig:
    return root.rig()


def doubled(root: Root) -> Rig:
    def start(down: Sink[int], scope: Scope[int]) -> Callable[[int], object]:
        return lambda item: down.next(2 * item)

    return root.rig(root.pipe(operator(start)), read=lambda item: item // 2)


def numbered(root: Root) -> Rig:
    """An operator with state, and with hooks for everything."""

    def start(down: Sink[Any], scope: Scope[int]) -> Hooks:
        count = 0

        def following(item: int) -> None:
            nonlocal count
            count += 1
            down.next((count, item))

        return Hooks(following, down.error, down.completed, lambda: None)

    return root.rig(root.pipe(operator(start)), read=lambda item: item[1])


def held_back(root: Root) -> Rig:
    """An operator that adds an item of its own before an error."""

    def start(down: Sink[Any], scope: Scope[int]) -> Hooks:
        def failed(error: Exception) -> None:
            down.next(("ending", -1))
            down.error(error)

        return Hooks(lambda item: down.next(("item", item)), failed)

    return root.rig(root.pipe(operator(start), ops.filter(lambda item: item[0] == "item")), read=lambda item: item[1])


def two_operators(root: Root) -> Rig:
    def start(down: Sink[int], scope: Scope[int]) -> Callable[[int], object]:
        return lambda item: down.next(item + 1)

    return root.rig(root.pipe(operator(start), operator(start)), read=lambda item: item - 2)


def stock_map(root: Root) -> Rig:
    return root.rig(root.pipe(ops.map(str)), read=int)


def stock_filter(root: Root) -> Rig:
    return root.rig(root.pipe(ops.filter(lambda item: True)))


def stock_scan(root: Root) -> Rig:
    return root.rig(root.pipe(ops.scan(lambda before, item: (before, item)[1:], ())), read=lambda item: item[0])


def stock_merge(root: Root) -> Rig:
    return root.rig(root.pipe(ops.merge(reactivex.empty())))


def stock_chain(root: Root) -> Rig:
    return root.rig(root.pipe(ops.map(str), ops.filter(bool), ops.map(int)))


def fluent(root: Root) -> Rig:
    return root.rig(root.map(str).filter(bool).map(int))


def mixed(root: Root) -> Rig:
    def start(down: Sink[int], scope: Scope[int]) -> Callable[[int], object]:
        return lambda item: down.next(item + 1)

    return root.rig(root.pipe(ops.map(int), operator(start), ops.map(str)), read=lambda item: int(item) - 1)


MAKERS = [bare, doubled, numbered, held_back, two_operators, stock_map, stock_filter, stock_scan, stock_merge]
MAKERS += [stock_chain, fluent, mixed]


FACES = (SyncRoot, AsyncRoot)
REPLAY = ("all", "none")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rig" in metafunc.fixturenames:
        sample(metafunc, tuple(MAKERS), FACES, REPLAY)


class TestOnAHotLog(Contract):
    @pytest.fixture
    def rig(self, request: pytest.FixtureRequest) -> Rig:
        make, face, replay = request.param
        rig: Rig = make(face(keep=replay == "all"))
        if make is not bare:
            rig.many = 5_000
        return rig
