"""Time limits in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from rx_assistant.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits in seconds, each with its own error; None waits without a limit.

    `connect`: until the connection is made. `read`: without a single byte. `first_event`: from sending until the
    first event. `idle`: between two events, where comments do not count. `total`: from sending until the end.
    Time that the program spends elsewhere, between two reads, counts for `total` only.

    The limits hold on every transport, also while a head or a reply arrives byte by byte. There is one exception, for a
    synchronous httpx client that you pass. On a connection that was already open, the wait for a head ends only at its
    next `read` timeout, because the socket is not known. That timeout is then at most what is left of `total`.
    """

    connect: float | None = 5.0
    read: float | None = 600.0
    first_event: float | None = None
    idle: float | None = None
    total: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value: object = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigurationError(f"timeout.{name} must be a number of seconds or None, got {value!r}")
            if not value > 0:
                raise ConfigurationError(
                    f"timeout.{name} must be more than 0 seconds, got {value!r}; None sets no limit"
                )


class ForeignTimeout(Protocol):
    """The common attributes of the `Timeout` classes of httpx and httpx2."""

    @property
    def connect(self) -> float | None: ...
    @property
    def read(self) -> float | None: ...


TimeoutInput: TypeAlias = Timeout | ForeignTimeout | float | None

DEFAULT = Timeout()


def as_timeout(value: TimeoutInput) -> Timeout:
    """A `Timeout` from the values that SDK users pass: seconds for connect and read, None, or an httpx `Timeout`.

    Raises ConfigurationError for anything else, such as `"5"`.
    """
    if isinstance(value, Timeout):
        return value
    if value is None:
        return Timeout(connect=None, read=None)
    if isinstance(value, int | float):
        return Timeout(connect=value, read=value)
    if not (hasattr(value, "connect") and hasattr(value, "read")):
        raise ConfigurationError(f"timeout must be a number of seconds, a Timeout or None, got {value!r}")
    return Timeout(connect=value.connect, read=value.read)
