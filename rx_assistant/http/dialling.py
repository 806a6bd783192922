"""A host and a port become a connected socket on asyncio: the first of its addresses that answers (RFC 8305).

asyncio has this too, but there (3.11) a cancellation at the wrong moment forgets the socket that has just connected.
Here every socket is closed that is not given to the caller.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any, TypeAlias

_Address: TypeAlias = tuple[int, Any]
"""Family, and what a socket of it connects to."""

NEXT_AFTER = 0.25  # seconds until the next address is tried beside the one before


async def dial(host: str, port: int, local_address: str | None = None) -> socket.socket:
    """A connected socket; OSError when no address of the host takes the connection."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = _alternating([(int(family), address) for family, _, _, _, address in found])
    if len(addresses) == 1:
        return await _connect(addresses[0], local_address)
    return await _race(iter(addresses), local_address)


async def _race(addresses: Iterator[_Address], local_address: str | None) -> socket.socket:
    failures: list[BaseException] = []
    trying: set[asyncio.Task[socket.socket]] = set()
    try:
        while True:
            address = next(addresses, None)
            if address is not None:
                trying.add(asyncio.ensure_future(_connect(address, local_address)))
            elif not trying:
                raise OSError("; ".join(map(str, failures)) or "the host has no address")
            wait = None if address is None else NEXT_AFTER
            for task in (await asyncio.wait(trying, timeout=wait, return_when=asyncio.FIRST_COMPLETED))[0]:
                trying.remove(task)
                failure = task.exception()
                if failure is None:
                    return task.result()
                failures.append(failure)
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_give_up)


def _give_up(task: asyncio.Task[socket.socket]) -> None:
    """Close what connected too late; a failure is of no interest any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(address: _Address, local_address: str | None) -> socket.socket:
    family, target = address
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        if local_address is not None:
            connection.bind((local_address, 0))
        await asyncio.get_running_loop().sock_connect(connection, target)
    except BaseException:
        connection.close()
        raise
    return connection


def _alternating(addresses: list[_Address]) -> list[_Address]:
    """The same, the families taking turns: a network without one of them costs one wait, not one for each address."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    other = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, other)) if address is not None]
