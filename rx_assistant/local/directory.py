"""The directory of a durable server: its lock, its files, and when writes are on disk.

    DIR/lock              which process uses the directory
    DIR/objects.sqlite    wire objects, their order, replies to idempotency keys
    DIR/index.sqlite      the search index of the vector stores
    DIR/files/            uploaded bytes, one file per id
    DIR/streams/          the frames of runs that are being streamed

The promises. A write is in the operating system when its call returns, so the end of the process loses nothing that a
reader saw. A write is on disk when `synced()` returns, and no reply to a request that changes something is sent before
that. Many requests share one sync: SQLite writes without syncing (`synchronous = NORMAL`), and one thread syncs the
write-ahead logs that hold the changes, as `synchronous = FULL` would after each of them. The logs are copied into the
databases in the same thread, so that the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import sys
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.ids import new_id

_LOCK_BYTES = 1
_COPIES = 5
_CHECKPOINT_BYTES = 8 * 2**20


class DataDirectory:
    """Creates the directory if it is missing, and locks it until `close()`.

    ConfigurationError if another process uses it or if it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(f"data must be the path of a directory, got {path!r:.80}")
        self.path = Path(path).expanduser().absolute()
        self.objects = self.path / "objects.sqlite"
        self.index = self.path / "index.sqlite"
        self.files = self.path / "files"
        self.streams = self.path / "streams"
        self._sync: asyncio.Task[None] | None = None
        self._next_sync: asyncio.Task[None] | None = None
        self._unsynced_names = True
        try:
            for directory in (self.path, self.files, self.streams):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(self.path / "lock")
            self._closing = weakref.finalize(self, os.close, self._lock)
            _empty_file(self.files).unlink()
        except OSError as error:
            raise ConfigurationError(
                f"the data directory {self.path} cannot be used: {error.strerror or error}"
            ) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def close(self) -> None:
        """Unlock the directory."""
        self._closing()

    def renamed(self) -> None:
        """Note that a file was created, renamed or deleted: the next sync includes the directories."""
        self._unsynced_names = True

    async def synced(self) -> None:
        """Wait until everything that was written before the call is on disk. OSError if the disk refuses."""
        if self._next_sync is None:
            self._next_sync = asyncio.create_task(self._sync_after(self._sync))
        await asyncio.shield(self._next_sync)

    async def _sync_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._sync, self._next_sync = self._next_sync, None
        names, self._unsynced_names = self._unsynced_names, False
        try:
            await asyncio.to_thread(self.sync, names)
        except BaseException:
            self._unsynced_names |= names
            raise

    def sync(self, names: bool = True) -> None:
        """Sync now, on the calling thread. `names` also syncs the names of files."""
        if names:
            for directory in (self.files, self.streams, self.path):
                sync_file(directory)
        # The index first: an object with the status "completed" must not be on disk before its chunks.
        for database in (self.index, self.objects):
            log = database.with_name(f"{database.name}-wal")
            with suppress(FileNotFoundError):
                sync_file(log)
                if log.stat().st_size > _CHECKPOINT_BYTES:
                    with closing(sqlite3.connect(database)) as connection:
                        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def back_up(directory: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a data directory, even while a server uses it, to a new directory for another server.

    The copy is the state at one moment. ConfigurationError if `directory` is not a data directory or `target` exists.
    """
    source, copy = Path(directory), Path(target)
    check_data(source)
    try:
        copy.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise ConfigurationError(f"{copy} must not exist yet: give the name of a new directory") from None
    # Before the databases: files that are deleted meanwhile. After them: files that were added meanwhile. A file that
    # was added and deleted meanwhile may be known to the copy without being in it, so the databases are copied again.
    _copy_new(source, copy)
    for _ in range(_COPIES):
        for name in ("index.sqlite", "objects.sqlite"):
            if (source / name).is_file():
                with closing(sqlite3.connect(source / name)) as one, closing(sqlite3.connect(copy / name)) as other:
                    one.backup(other)
        _copy_new(source, copy)
        with closing(sqlite3.connect(copy / "objects.sqlite")) as connection:
            known = {id for (id,) in connection.execute("SELECT id FROM objects WHERE kind = 'file'")}
        if all((copy / "files" / id).exists() for id in known):
            return


def check_data(directory: Path) -> None:
    """ConfigurationError if it is not a data directory."""
    if not (directory / "objects.sqlite").is_file():
        found = "a directory without objects.sqlite" if directory.exists() else "a path that does not exist"
        raise ConfigurationError(f"{directory} must be a data directory of rx-assistant serve, got {found}")


def _copy_new(source: Path, copy: Path) -> None:
    for folder in ("files", "streams"):
        (copy / folder).mkdir(mode=0o700, exist_ok=True)
        for path in (source / folder).iterdir():
            if not (copy / folder / path.name).exists():
                with suppress(FileNotFoundError):
                    shutil.copyfile(path, copy / folder / path.name)


def connect(path: str | os.PathLike[str], migrations: Iterable[str]) -> sqlite3.Connection:
    """A connection in autocommit mode to the database at `path`, migrated to the newest version of its schema.

    Migrations are SQL scripts, oldest first; `user_version` counts the scripts that were run. ConfigurationError if the
    file is not such a database, or if a newer program has written it.
    """
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    with _opening(connection, path):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if os.fspath(path) != ":memory:":
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            # After a checkpoint SQLite writes the log from its beginning again, and cuts the file to this size.
            connection.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_BYTES}")
        _migrate(connection, path, list(migrations))
    return connection


def connect_reader(path: str | os.PathLike[str], migrations: Sequence[str]) -> sqlite3.Connection:
    """A connection that reads the state at this moment, also while a server uses the database.

    ConfigurationError if the file is not such a database, or if another version of the program has written it.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    with _opening(connection, path):
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        connection.execute("SELECT count(*) FROM sqlite_master")  # from here on, the connection sees no changes
        if version > len(migrations):
            raise _too_new(path, version, migrations)
        if version < len(migrations):
            raise ConfigurationError(f"{path} has an old version of the schema: start a server on it once")
    return connection


@contextmanager
def _opening(connection: sqlite3.Connection, path: str | os.PathLike[str]) -> Iterator[None]:
    """Close the connection if the block fails. ConfigurationError if the file is not a usable database."""
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise ConfigurationError(f"{path} cannot be opened as a database: {error}") from error
        raise


def _too_new(path: str | os.PathLike[str], version: int, migrations: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{path} has version {version} of the schema, and this program knows versions up to {len(migrations)}:"
        " use the newer rx_assistant that wrote it"
    )


def _migrate(connection: sqlite3.Connection, path: str | os.PathLike[str], migrations: list[str]) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise _too_new(path, version, migrations)
    for number in range(version, len(migrations)):
        # One transaction for each step: an interrupted step is run again from its beginning.
        connection.executescript(f"BEGIN; {migrations[number]} ; PRAGMA user_version = {number + 1}; COMMIT;")


def sync_file(path: Path) -> None:
    """Sync the content of a file, or the names in a directory."""
    if sys.platform == "win32" and path.is_dir():
        return  # Windows cannot open a directory, and keeps names with the files
    flags = os.O_RDWR if sys.platform == "win32" else os.O_RDONLY
    handle = os.open(path, flags)
    try:
        full = getattr(__import__("fcntl"), "F_FULLFSYNC", None) if sys.platform == "darwin" else None
        if full is None:
            os.fsync(handle)
        else:
            __import__("fcntl").fcntl(handle, full)
    finally:
        os.close(handle)


def _empty_file(directory: Path) -> Path:
    """Check that files can be created in the directory."""
    path = directory / new_id("probe-")
    path.touch()
    return path


def _lock(path: Path) -> int:
    """The descriptor that holds the lock. ConfigurationError names the process that holds it already."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if not _try_lock(handle):
            raise ConfigurationError(
                f"the data directory {path.parent} is used by another server ({_holder(handle)}):"
                " stop that one first, or give another directory"
            )
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, json.dumps({"pid": os.getpid(), "program": Path(sys.argv[0] or "python").name}).encode())
    except BaseException:
        os.close(handle)
        raise
    return handle


def _holder(handle: int) -> str:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        found = json.loads(os.read(handle, 4096))
        return f"process {found['pid']}, {found['program']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its process is not known"


def _try_lock(handle: int) -> bool:
    """Whether the lock was free. The operating system frees it when the process ends, in any way."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, 2**30, os.SEEK_SET)  # after the text, which other processes read
            msvcrt.locking(handle, msvcrt.LK_NBLCK, _LOCK_BYTES)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
