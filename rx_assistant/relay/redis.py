"""The relay of many processes: Redis Streams, on one server or a cluster; Valkey has all that is used.

Two connections in each process, however many runs and followers: one reads the news of all runs in one blocking XREAD,
the other does everything else. XREAD cannot read keys of several slots, so in a cluster each shard, a hash tag that the
runs are spread over, has a reading connection as soon as one of its runs is followed.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from rx_assistant.errors import ConfigurationError, RelayConnectionError, RelayError
from rx_assistant.hot import Sleepers, start_thread
from rx_assistant.relay import scripts
from rx_assistant.relay.base import Relay
from rx_assistant.relay.entries import Command, Entry, RelayState

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:
    raise ImportError("RedisRelay needs the extra: pip install 'rx_assistant[redis]'") from error

if TYPE_CHECKING:
    from rx_assistant.relay.log import Outcome, Write

_log = logging.getLogger("rx_assistant")
_LAST: Final = str(2**64 - 1)  # the greatest second half of an entry's id
_GAP: Final = 0.0001  # seconds for each run that is followed, from one read to the next, which costs Redis 4 µs a run
_BLOCK: Final = 2.0  # seconds that one read waits for news at most
_SOCKET_SECONDS: Final = 5.0
_COMMANDS_KEPT: Final = 1000
_CLOSED_DURING_A_CALL: Final = (ValueError, AttributeError)  # of redis-py, when its connection is closed


class RedisRelay(Relay):
    """Runs that any process with access to the Redis server or cluster at `url` can follow. See `Relay`.

    Needs `pip install 'rx_assistant[redis]'`. The keys begin with `prefix`. In a cluster, runs are spread over `shards`
    hash tags. `redis_options` go to the redis package's client. Make a relay in each process, after it was forked.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "rx",
        shards: int = 16,
        lease: float = 10.0,
        ttl: float = 3600.0,
        max_entries: int = 100_000,
        flush_interval: float = 0.02,
        max_batch_bytes: int = 64 * 1024,
        max_event_bytes: int = 16 * 2**20,
        max_pending: int = 64 * 2**20,
        **redis_options: Any,
    ) -> None:
        super().__init__(
            lease=lease,
            ttl=ttl,
            max_entries=max_entries,
            flush_interval=flush_interval,
            max_batch_bytes=max_batch_bytes,
            max_event_bytes=max_event_bytes,
            max_pending=max_pending,
        )
        if "{" in prefix or "}" in prefix:
            raise ConfigurationError(f"prefix must not contain braces, got {prefix!r}")
        if shards < 1:
            raise ConfigurationError(f"shards must be at least 1, got {shards!r}")
        _check_url(url)
        self._url = url
        self._prefix = prefix
        self._shards = shards
        self._options = {"protocol": 2, "socket_connect_timeout": _SOCKET_SECONDS, **redis_options}
        self._connecting = threading.Lock()
        self._client: Any = None
        self._blocking: Any = None
        self.is_shut = False
        self._is_cluster = False
        self._readers: dict[int, _Reader] = {}
        self._reading = threading.Lock()

    # -- connections ---------------------------------------------------------------------------------------------

    def _connected(self) -> Any:
        """The client for everything that does not block."""
        with self._connecting:
            if self.is_shut:
                raise RelayConnectionError("the relay was closed", "")
            if self._client is None:
                client = self._single(_SOCKET_SECONDS)
                self._is_cluster = bool(client.info("cluster").get("cluster_enabled"))
                if self._is_cluster:
                    client.close()
                    client = self._cluster(_SOCKET_SECONDS)
                self._client = client
        return self._client

    def _single(self, timeout: float) -> Any:
        pool = redis.BlockingConnectionPool.from_url(
            self._url,
            max_connections=1,
            timeout=_SOCKET_SECONDS,
            **{"socket_timeout": timeout, "retry": Retry(NoBackoff(), 1), **self._options},
        )
        return redis.Redis.from_pool(pool)  # closing the client closes the pool

    def _cluster(self, timeout: float) -> Any:
        from redis.cluster import RedisCluster

        return RedisCluster.from_url(self._url, **{"socket_timeout": timeout, **self._options})

    def reading_client(self) -> Any:
        """The client for reads that block."""
        self._connected()
        with self._connecting:
            if self._blocking is None:
                self._blocking = (self._cluster if self._is_cluster else self._single)(_BLOCK + _SOCKET_SECONDS)
            return self._blocking

    @contextmanager
    def _reaching(self, key: str) -> Iterator[Any]:
        try:
            yield self._connected()
        except redis.ResponseError as error:
            raise _refused(error, key) from error
        except (redis.RedisError, OSError) as error:
            raise RelayConnectionError(f"the relay cannot be reached: {error}", key) from error
        except _CLOSED_DURING_A_CALL as error:
            if not self.is_shut:
                raise
            raise RelayConnectionError("the relay was closed", key) from error

    def _shard(self, key: str) -> int:
        return zlib.crc32(key.encode()) % self._shards

    def _name(self, key: str, kind: str) -> str:
        return f"{self._prefix}:{{{self._shard(key)}}}:{key}:{kind}"

    def _names(self, key: str) -> list[str]:
        return [self._name(key, kind) for kind in ("state", "lease", "log", "commands", "snapshot")]

    def _run(self, key: str, script: str, *arguments: Any) -> Any:
        with self._reaching(key) as client:
            return client.eval(script, 5, *self._names(key), *arguments)

    # -- the producer's side -------------------------------------------------------------------------------------

    @property
    def _lease_ms(self) -> int:
        return max(int(self.lease * 1000), 1)

    @property
    def _ttl_ms(self) -> int:
        return max(int(self.ttl * 1000), 1)

    def claim(self, key: str, *, taking: int | None = None, base: int | None = None) -> RelayState | None:
        taken, first = "" if taking is None else taking, "" if base is None else base
        return _state(self._run(key, scripts.CLAIM, self._lease_ms, self._ttl_ms, taken, first))

    def append(self, key: str, generation: int, start: int, frames: Sequence[bytes]) -> Outcome:
        return self._written("append", key, generation, start, frames)

    def seal(self, key: str, generation: int, start: int, frame: bytes) -> Outcome:
        return self._written("seal", key, generation, start, frame)

    def release(self, key: str, generation: int, status: Literal["paused", "interrupted"], reason: str = "") -> Outcome:
        return self._written("release", key, generation, status, reason)

    def beat(self, key: str, generation: int) -> Outcome:
        return self._written("beat", key, generation)

    def store_snapshot(self, key: str, generation: int, position: int, frames: bytes) -> Outcome:
        return _outcome(self._run(key, scripts.STORE, generation, position, frames, self._ttl_ms))

    def _written(self, operation: str, key: str, *arguments: Any) -> Outcome:
        script, values = self._script_of(operation, *arguments)
        return _outcome(self._run(key, script, *values))

    def _script_of(self, operation: str, generation: int, *arguments: Any) -> tuple[str, tuple[Any, ...]]:
        """The script of an operation, and its arguments."""
        if operation == "append":
            start, frames = arguments
            batch = b"".join(frames)
            values = (generation, start, start + len(frames), batch, self.max_entries, self._ttl_ms)
            return scripts.APPEND, values
        if operation == "seal":
            start, frame = arguments
            return scripts.SEAL, (generation, start, start + 1, frame, self._ttl_ms)
        if operation == "release":
            status, reason = arguments
            return scripts.RELEASE, (generation, status, reason, self._ttl_ms)
        return scripts.BEAT, (generation, self._lease_ms, self._ttl_ms)

    def write(self, writes: Sequence[Write]) -> list[Outcome | Exception]:
        """Send all writes at once, and then read their outcomes."""
        key = writes[0].arguments[0]
        with self._reaching(key) as client:
            pipe = client.pipeline(transaction=False)
            for write in writes:
                key, *arguments = write.arguments
                script, values = self._script_of(write.operation, *arguments)
                pipe.execute_command("EVAL", script, 5, *self._names(key), *values)
            results = pipe.execute(raise_on_error=False)
        return [
            _refused(result, write.arguments[0]) if isinstance(result, Exception) else _outcome(result)
            for write, result in zip(writes, results, strict=True)
        ]

    # -- the followers' side -------------------------------------------------------------------------------------

    def state(self, key: str) -> RelayState | None:
        return _state(self._run(key, scripts.STATE))

    def read(self, key: str, position: int, limit: int) -> list[Entry]:
        with self._reaching(key) as client:
            found = client.xrange(self._name(key, "log"), min=f"{position + 1}-0", max="+", count=limit)
        return [_entry(number, fields) for number, fields in found]

    def stored_snapshot(self, key: str) -> tuple[int, bytes]:
        with self._reaching(key) as client:
            position, frames = client.hmget(self._name(key, "snapshot"), "position", "frames")
        return (0, b"") if position is None else (int(position), cast("bytes", frames))

    # -- news and commands ---------------------------------------------------------------------------------------

    def send(self, key: str, command: Command) -> None:
        name = self._name(key, "commands")
        text = json.dumps({"type": command.type, "data": command.data})
        with self._reaching(key) as client:
            client.xadd(name, {"c": text.encode()}, maxlen=_COMMANDS_KEPT, approximate=True)
            client.pexpire(name, self._ttl_ms)

    def accept(self, key: str, number: object) -> bool:
        with self._reaching(key) as client:
            return bool(client.xdel(self._name(key, "commands"), number))

    def listen(self, key: str, position: int | None, take: Callable[[list[Any]], None]) -> Callable[[], None]:
        group = self._shard(key) if self._is_cluster_known(key) else 0
        with self._reading:
            reader = self._readers.get(group)
            if reader is None:
                wake = f"{self._prefix}:{{{group}}}:wake:{uuid.uuid4().hex}"
                reader = self._readers[group] = _Reader(self, wake)
        if position is None:
            return reader.watch(self._name(key, "commands"), "0-0", lambda found: take(_commands(found)))
        place = f"{position}-{_LAST}"
        return reader.watch(
            self._name(key, "log"), place, lambda found: take([_entry(number, fields) for number, fields in found])
        )

    def _is_cluster_known(self, key: str) -> bool:
        with self._reaching(key):
            return self._is_cluster

    @property
    def watched(self) -> int:
        """How many runs are followed or published here."""
        return sum(len(reader.places) for reader in tuple(self._readers.values()))

    def ring(self, name: str) -> None:
        """Wake the reader that waits for this key."""
        with self._reaching(name) as client:
            client.xadd(name, {"w": b"1"}, maxlen=1)
            client.pexpire(name, 60_000)

    def close(self) -> None:
        if self._closed.is_set():
            return
        super().close()
        for reader in tuple(self._readers.values()):
            reader.close()
        with self._connecting:
            self.is_shut = True
        for client in (self._blocking, self._client):
            if client is not None:
                client.close()


class _Reader:
    """The thread that reads the news of many keys with one blocking command. It ends when nothing is watched."""

    def __init__(self, relay: RedisRelay, wake: str) -> None:
        self._relay = relay
        self._wake = wake
        self._wake_id = "0-0"
        self.places: dict[str, str] = {}  # key → the id of its last entry that was read
        self._takes: dict[str, tuple[Callable[[list[Any]], None], ...]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._sleepers = Sleepers()

    def watch(self, name: str, place: str, take: Callable[[list[Any]], None]) -> Callable[[], None]:
        """Give the entries of a key after a place to `take`; returns the function that stops it."""
        with self._lock:
            self._takes[name] = (*self._takes.get(name, ()), take)
            self.places[name] = place
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rx-assistant-relay-reader", daemon=True)
                start_thread(self._thread)
                rings = False
            else:
                rings = True
        if rings:
            self._relay.ring(self._wake)

        def stop() -> None:
            with self._lock:
                left = tuple(one for one in self._takes.get(name, ()) if one is not take)
                if left:
                    self._takes[name] = left
                    return
                self._takes.pop(name, None)
                self.places.pop(name, None)
                is_idle = not self._takes
            if is_idle:
                try:
                    self._relay.ring(self._wake)
                except RelayConnectionError:  # the thread finds out by itself
                    pass

        return stop

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._takes.clear()
            self.places.clear()
        try:
            self._relay.ring(self._wake)
        except RelayConnectionError:
            pass
        self._sleepers.sleep(lambda: self._thread is None, _BLOCK + 1)

    def _run(self) -> None:
        pause = 0.0
        while True:
            with self._lock:
                if not self._takes:
                    self._thread = None
                    self._sleepers.wake()
                    return
                places = dict(self.places)
            begun = time.monotonic()
            try:
                self._read(places)
                pause = 0.0
            except (redis.RedisError, OSError, RelayConnectionError):
                pause = min(max(2 * pause, 0.05), 1.0)
            except _CLOSED_DURING_A_CALL:
                if not self._relay.is_shut:
                    raise
            gap = _GAP * self._relay.watched - (time.monotonic() - begun)
            if max(gap, pause) > 0:
                time.sleep(max(gap, pause))

    def _read(self, places: dict[str, str]) -> None:
        wanted = cast("Any", {self._wake: self._wake_id, **places})
        reply = self._relay.reading_client().xread(wanted, count=256, block=int(_BLOCK * 1000))
        for name, found in reply or ():
            self._take(name.decode(), places, found)

    def _take(self, name: str, places: dict[str, str], found: list[Any]) -> None:
        last = found[-1][0].decode()
        if name == self._wake:
            self._wake_id = last
            return
        with self._lock:
            takes = self._takes.get(name, ())
            if self.places.get(name) == places[name]:  # else it is watched anew, from another place
                self.places[name] = last
        for take in takes:
            try:
                take(found)
            except Exception:  # the thread serves other runs, too
                _log.exception("news of the key %r cannot be read", name)


def _check_url(url: str) -> None:
    """ConfigurationError for a URL that the redis package refuses, without its message: it may hold the password."""
    try:
        redis.ConnectionPool.from_url(url)
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError(
            "url must be redis://[user:password@]host:port/number, rediss://… or unix://…; "
            "percent-encode special characters in the password"
        ) from None


def _refused(error: Exception, key: str) -> RelayError:
    """The error for a refusal. A key that holds something else stays so; all other causes can go away."""
    if str(error).startswith("WRONGTYPE"):
        return RelayError(f"run {key!r}: another program uses a key of this run: {error}", key)
    return RelayConnectionError(f"the relay refused: {error}", key)


def _entry(number: bytes, fields: dict[bytes, bytes]) -> Entry:
    end, _, second = number.partition(b"-")
    frames = fields.get(b"f", b"")
    start = fields.get(b"s", end)
    return Entry(int(start), int(end), int(second) // 2, frames, b"z" in fields)


def _commands(found: list[Any]) -> list[tuple[bytes, Command]]:
    commands = []
    for number, fields in found:
        try:
            value = json.loads(fields[b"c"])
            commands.append((number, Command(value["type"], value["data"])))
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("a command in the relay cannot be read: %r", error)
    return commands


def _outcome(reply: bytes) -> Outcome:
    return cast("Outcome", reply.decode())


def _state(reply: Any) -> RelayState | None:
    if reply is None:
        return None
    status, generation, count, is_alive, reason = reply
    return RelayState(status.decode(), int(generation), int(count), bool(is_alive), reason.decode("utf-8", "replace"))
