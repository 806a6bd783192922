"""Redis servers for tests: one, or a cluster of three, each a real `redis-server` with a directory of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import redis

GUARD = 30.0
"""Seconds after which a test gives up on something that happens within milliseconds on an idle machine."""
SLOTS = 16384


def installed() -> bool:
    """Whether the machine has a Redis server."""
    return shutil.which("redis-server") is not None


def free_port() -> int:
    """A port on which nothing listens, whose cluster bus port is a valid port, too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


class RedisServer:
    """One server, which may be killed and started again on its port and directory."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self._options = options
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        while self._process is None:
            self.port = free_port()
            self.start()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers; another port is needed if it does not stay alive."""
        command: Sequence[str] = ("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "")
        where = ("--dir", str(self.directory), "--appenddirname", f"aof-{self.port}")
        process = subprocess.Popen([*command, *where, *self._options], stdout=subprocess.DEVNULL)
        end = time.monotonic() + GUARD
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            while process.poll() is None:
                try:
                    client.ping()
                    self._process = process
                    return
                except redis.RedisError:
                    if time.monotonic() > end:
                        process.kill()
                        process.wait()
                        raise
                    time.sleep(0.01)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def client(self) -> redis.Redis:
        """A client of its own."""
        return redis.Redis(port=self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class RedisCluster:
    """Three servers that share the slots."""

    def __init__(self, directory: Path) -> None:
        self.servers: list[RedisServer] = []
        for number in range(3):
            home = directory / f"node-{number}"
            home.mkdir()
            self.servers.append(RedisServer(home, "--cluster-enabled", "yes", "--cluster-node-timeout", "15000"))
        self._join()

    @property
    def url(self) -> str:
        """Where clients connect first."""
        return self.servers[0].url

    def _join(self) -> None:
        share = SLOTS // 3 + 1
        clients = [server.client() for server in self.servers]
        for number, client in enumerate(clients):
            first, last = number * share, min((number + 1) * share, SLOTS) - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", server.port)
        end = time.monotonic() + GUARD
        while any(not self._is_ready(client) for client in clients):
            assert time.monotonic() < end, "the cluster does not come up"
            time.sleep(0.02)
        for client in clients:
            client.close()

    @staticmethod
    def _is_ready(client: redis.Redis) -> bool:
        found = client.execute_command("CLUSTER INFO")
        info = (
            found
            if isinstance(found, dict)
            else dict(line.split(":", 1) for line in found.decode().split("\r\n") if ":" in line)
        )
        return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()
