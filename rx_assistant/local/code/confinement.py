"""Confines a process on Linux: no network, a separate file system, no other processes, no privileges.

    namespaces   mount, process ids, network, IPC, host name (and user ids, unless the server is root)
    root         a new, read-only file system: the interpreter's folders and a few devices; /mnt/data and /tmp in memory
    identity     root becomes a user id without files or processes; all capabilities are given up
    seccomp      no sockets but Unix ones, no new namespaces, no memory that no limit counts

`enter` and `new_root` are for the supervisor, `give_up` for the process that runs the code. Every step raises OSError
if the system refuses it, so a process that has returned from them is confined. The calls that Python 3.11 lacks are
made with ctypes. Only x86-64 and ARM64 are known, because system calls have other numbers elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import platform
import select
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

DATA: Final = "/mnt/data"
"""The working directory of the code."""

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_ISOLATED: Final = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH: Final = 2
_PDEATHSIG, _NO_NEW_PRIVS, _SECCOMP, _CHILD_SUBREAPER = 1, 38, 22, 36
_KEPT: Final = 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7  # DAC_READ_SEARCH, KILL, SETGID, SETUID: what the supervisor uses
_FIRST_ID: Final = 2_000_000_000  # far from the ids that systems give to people and services
_ETC: Final = ("ld.so.cache", "localtime", "fonts", "alternatives", "mime.types")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
# By machine: the audit number, then the numbers of system calls.
_CALLS: Final = {
    "x86_64": (
        0xC000003E,
        {"pivot_root": 155, "clone": 56, "socket": 41},
        (272, 308, 165, 166, 155, 161, 319, 29, 64, 68, 240, 323, 321, 298, 250, 248, 249, 101, 310, 311),
    ),
    "aarch64": (
        0xC00000B7,
        {"pivot_root": 41, "clone": 220, "socket": 198},
        (97, 268, 40, 39, 41, 51, 279, 194, 190, 186, 180, 282, 280, 241, 219, 217, 218, 117, 270, 271),
    ),
}
"""Refused: unshare, setns, mount, umount2, pivot_root, chroot, memfd_create, shmget, semget, msgget, mq_open,
userfaultfd, bpf, perf_event_open, keyctl, add_key, request_key, ptrace, process_vm_readv, process_vm_writev."""
_REFUSED_EVERYWHERE: Final = (425, 428, 429, 430, 432, 442, 447)
"""io_uring_setup, open_tree, move_mount, fsopen, fsmount, mount_setattr, memfd_secret: the same number everywhere."""
_MOUNT_SETATTR, _CLONE3 = 442, 435


def impossible(confined: bool) -> str:
    """Why code cannot run on this kind of machine; empty if it may be possible."""
    if not hasattr(os, "fork"):
        return f"{sys.platform} has no fork"
    if not confined:
        return ""
    if sys.platform != "linux":
        return f"that needs Linux, and this is {sys.platform}"
    if platform.machine() not in _CALLS or struct.calcsize("P") != 8:
        return f"that needs x86_64 or aarch64, and this is {platform.machine()}"
    return ""


def enter() -> bool:
    """Enter new namespaces; the next child process is the first one in them. Returns whether this process is root."""
    user, group = os.geteuid(), os.getegid()
    if user == 0 and _exists(_FIRST_ID + os.getpid()):
        with suppress(OSError):  # root of a container may only be allowed to make user namespaces
            _call("unshare", _ISOLATED)
            return True
    _call("unshare", _ISOLATED | _NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1000 {user} 1")
    Path("/proc/self/gid_map").write_text(f"1000 {group} 1")
    return False


def end_with_parent(pipe: int) -> None:
    """Make the system kill this process when its parent ends; end it now if the parent has ended. Only on Linux.

    `pipe` is the reading end of a pipe. Only the parent holds the other end.
    """
    if sys.platform == "linux":
        _call("prctl", _PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if _is_hung_up(pipe):  # the parent was killed before that call
            os._exit(1)


def _is_hung_up(pipe: int) -> bool:
    look = select.poll()
    look.register(pipe, 0)  # a hang-up is always reported
    return bool(look.poll(0))


def _exists(user: int) -> bool:
    """Whether a process can have this user id. In many containers only some ids exist."""
    ranges = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= user < first + count for first, _, count in ranges)


def adopt_orphans() -> None:
    """Adopt the descendants of this process that lose their parent. Only Linux can do that."""
    if sys.platform == "linux":
        _call("prctl", _CHILD_SUBREAPER, 1, 0, 0, 0)


def new_root(hidden: Iterable[str], disk: int) -> None:
    """Replace the file system. It shows the interpreter's folders, but not the paths in `hidden`.

    `disk` is the size of /mnt/data and of /tmp together, in bytes.
    """
    _mount("none", "/", None, _REC | _PRIVATE)
    root = Path("/sys")  # a directory that holds nothing that is needed
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for folder, size in ((DATA, disk * 4 // 5), ("/tmp", disk // 5)):
        _make(f"{root}{folder}")
        _mount("tmpfs", f"{root}{folder}", "tmpfs", _NOSUID | _NODEV, f"size={size},nr_inodes=20000,mode=777")
    shown = _folders()  # some may be inside /tmp
    for folder in shown:
        _show(folder, root)
    for path in hidden:
        real = os.path.realpath(path)
        if any(real == folder or real.startswith(f"{folder}/") for folder in shown) and os.path.isdir(real):
            _mount("tmpfs", f"{root}{real}", "tmpfs", _RDONLY | _NOSUID | _NODEV, "size=4k,mode=000")
    _show_links(root)
    for name in _DEVICES:
        _bind(f"/dev/{name}", f"{root}/dev/{name}")
    for name in _ETC:
        if os.path.exists(f"/etc/{name}"):
            _show(f"/etc/{name}", root)
    (root / "dev/shm").symlink_to("/tmp")
    _make(f"{root}/proc")
    _mount("proc", root / "proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("none", root, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chdir(root)
    _syscall(_calls()["pivot_root"], b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir(DATA)
    _call("sethostname", b"code", 4)


def keep_little(is_root: bool) -> None:
    """Give up the supervisor's capabilities, except those that it uses. Then other processes cannot read its memory."""
    if is_root:
        _set_capabilities(_KEPT)


def give_up(user: int | None, pipe: int) -> None:
    """Give up every privilege for ever. With `user`, a number, the process first becomes that user.

    `pipe` as for `end_with_parent`, which has to be called again then.
    """
    if user is not None:
        os.setgroups([])
        own = _FIRST_ID + user
        os.setresgid(own, own, own)
        os.setresuid(own, own, own)
    _set_capabilities(0)
    end_with_parent(pipe)
    _call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)
    program = b"".join(struct.pack("HBBI", *line) for line in _filter())
    buffer = ctypes.create_string_buffer(program)
    pointer = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    _call("prctl", _SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(pointer)), 0, 0)


def _filter() -> list[tuple[int, int, int, int]]:
    """The seccomp program: (operation, jump if true, jump if false, operand) per line."""
    audit, calls, refused = _CALLS[platform.machine()]
    refuse, allow = (_RETURN, 0, 0, _REFUSE | _EPERM), (_RETURN, 0, 0, _ALLOW)
    number, argument = (_LOAD, 0, 0, 0), (_LOAD, 0, 0, 16)
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL), number]
    lines += [(_AT_LEAST, 0, 1, 0x40000000), refuse]  # the second numbering of x86-64
    lines += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _REFUSE | _ENOSYS)]  # so that libraries use clone
    for call in (*refused, *_REFUSED_EVERYWHERE):
        lines += [(_EQUAL, 0, 1, call), refuse]
    new = _ISOLATED | _NEWUSER | 0x2000000  # and control groups
    lines += [(_EQUAL, 0, 4, calls["clone"]), argument, (_ANY_BIT, 0, 1, new), refuse, allow]
    lines += [(_EQUAL, 0, 4, calls["socket"]), argument, (_EQUAL, 1, 0, 1), refuse, allow]  # 1: AF_UNIX
    return [*lines, allow]


def _folders() -> list[str]:
    """The folders that Python and its packages need."""
    names = [sys.prefix, sys.base_prefix, *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))]
    names += [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    names += ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/nix/store"]
    found: list[str] = []
    for name in sorted({os.path.realpath(name) for name in names if os.path.isdir(name)} - {"/"}):
        if not any(name.startswith(f"{other}/") for other in found):
            found.append(name)
    return found


def _show_links(root: Path) -> None:
    """The symbolic links of the old root, such as /lib, and those on the way to the interpreter."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    for name in (sys.prefix, sys.base_prefix):
        place = Path(f"{root}{name}")
        if os.path.realpath(name) != name and not os.path.lexists(place):
            _make(str(place.parent))
            place.symlink_to(os.path.realpath(name))


def _show(path: str, root: Path) -> None:
    """A read-only view of a folder or file, with everything that is mounted in it."""
    target = f"{root}{path}"
    _bind(path, target)
    attributes = struct.pack("QQQQ", _RDONLY | _NOSUID | _NODEV, 0, 0, 0)
    _syscall(_MOUNT_SETATTR, -100, target.encode(), 0x8000, attributes, len(attributes))  # recursive


def _bind(path: str, target: str) -> None:
    if os.path.isdir(path):
        _make(target)
    else:
        _make(os.path.dirname(target))
        Path(target).touch()
    _mount(path, target, None, _BIND | _REC)


def _make(path: str) -> None:
    os.makedirs(path, 0o755, exist_ok=True)


def _set_capabilities(kept: int) -> None:
    header = struct.pack("Ii", 0x20080522, 0)
    _call("capset", header, struct.pack("6I", kept, kept, 0, 0, 0, 0))  # effective, permitted, inheritable


def _mount(source: str, target: str | Path, kind: str | None, flags: int, options: str = "") -> None:
    arguments = (source.encode(), os.fsencode(target), None if kind is None else kind.encode())
    _call("mount", *arguments, ctypes.c_ulong(flags), options.encode() or None)


def _calls() -> dict[str, int]:
    return _CALLS[platform.machine()][1]


def _call(name: str, *arguments: object) -> None:
    """A function of the C library. OSError, with its name, if it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def _syscall(number: int, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    if library.syscall(ctypes.c_long(number), *wide) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"system call {number}: {os.strerror(error)}")
