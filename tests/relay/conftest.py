"""The relays that the contract holds for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from relay_runs import Finished, finished_run
from relay_servers import RedisCluster, RedisServer, installed

from rx_assistant.relay import MemoryRelay, Relay

MakeRelay = Callable[..., Relay]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis server for all tests that do not harm it."""
    if not installed():
        pytest.skip("redis-server is not installed")
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster of three."""
    if not installed():
        pytest.skip("redis-server is not installed")
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(params=["memory", "redis", "cluster"])
def make_relay(request: pytest.FixtureRequest) -> Iterator[MakeRelay]:
    """Makes relays that see the same runs, as the processes of an application have them; options as for the class.

    Each test has keys of its own. In memory there is one relay, because there is one process.
    """
    from rx_assistant.relay import RedisRelay

    made: list[Relay] = []

    def make(**options: Any) -> Relay:
        if request.param == "memory":
            if not made:
                network = ("flush_interval", "max_batch_bytes", "max_pending")
                made.append(MemoryRelay(**{name: value for name, value in options.items() if name not in network}))
            return made[0]
        server = request.getfixturevalue("redis_server" if request.param == "redis" else "redis_cluster")
        made.append(RedisRelay(server.url, prefix=request.node.name.replace("{", "").replace("}", ""), **options))
        return made[-1]

    yield make
    for relay in made:
        relay.close()


@pytest.fixture(scope="session")
def run() -> Iterator[Finished]:
    """A run that has ended on its server."""
    with finished_run() as finished:
        yield finished


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a Redis server of this test keeps its files."""
    return tmp_path
