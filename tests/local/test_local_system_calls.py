"""The seccomp filter of the code interpreter, on both kinds of machine: its numbers, and what it lets through."""

from __future__ import annotations

import platform
import re
import struct
from pathlib import Path

import pytest

from rx_assistant.local.code import confinement

HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
ELF_MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
REFUSED = [
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "memfd_create",
    "shmget",
    "semget",
    "msgget",
    "mq_open",
    "userfaultfd",
    "bpf",
    "perf_event_open",
    "keyctl",
    "add_key",
    "request_key",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
]
REFUSED_EVERYWHERE = ["io_uring_setup", "open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr", "memfd_secret"]
ALLOWED, REFUSED_WITH_EPERM, REFUSED_WITH_ENOSYS, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
CLONE_THREAD, CLONE_NEWUSER = 0x00010000 | 0x0F00, 0x10000000
AF_UNIX, AF_INET = 1, 2

machines = pytest.mark.parametrize("machine", HEADERS)


def numbers(machine: str) -> dict[str, int]:
    """The system calls of a kind of machine, from the kernel's header. Skips the test if there is no such header."""
    header = next((Path(path) for path in HEADERS[machine] if Path(path).exists()), None)
    if header is None:
        pytest.skip(f"this machine has no {' and no '.join(HEADERS[machine])}")
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", header.read_text(), re.MULTILINE)
    return {name: int(number) for name, number in found}


@machines
def test_the_numbers_of_the_system_calls_are_those_of_the_kernel(machine):
    known = numbers(machine)
    _, used, refused = confinement._CALLS[machine]
    assert used == {name: known[name] for name in used}
    assert dict(zip(REFUSED, refused, strict=True)) == {name: known[name] for name in REFUSED}
    newer = dict(zip(REFUSED_EVERYWHERE, confinement._REFUSED_EVERYWHERE, strict=True))
    newer |= {"clone3": confinement._CLONE3, "mount_setattr": confinement._MOUNT_SETATTR}
    assert newer["mount_setattr"] in confinement._REFUSED_EVERYWHERE
    assert {name: number for name, number in newer.items() if known.get(name, number) != number} == {}


@machines
def test_the_audit_number_is_that_of_a_64_bit_little_endian_machine(machine):
    header = Path("/usr/include/linux/elf-em.h")
    if not header.exists():
        pytest.skip(f"this machine has no {header}")
    (number,) = re.findall(rf"^#define {ELF_MACHINES[machine]}\s+(\d+)", header.read_text(), re.MULTILINE)
    assert confinement._CALLS[machine][0] == int(number) | 0x80000000 | 0x40000000


def decision(audit: int, number: int, argument: int = 0) -> int:
    """The result of the filter for one system call, computed as the kernel does."""
    data = struct.pack("=IIQ6Q", number, audit, 0, argument, *[0] * 5)
    lines, at, value = confinement._filter(), 0, 0
    while True:
        code, if_true, if_false, operand = lines[at]
        at += 1
        if code == 0x06:  # return
            return operand
        if code == 0x20:  # load a word
            (value,) = struct.unpack_from("=I", data, operand)
        else:
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
            at += if_true if holds else if_false


@machines
def test_the_filter_refuses_what_lifts_the_limits_and_allows_the_rest(monkeypatch, machine):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    audit, used, refused = confinement._CALLS[machine]
    for number in (*refused, *confinement._REFUSED_EVERYWHERE):
        assert decision(audit, number) == REFUSED_WITH_EPERM
    assert decision(audit, confinement._CLONE3) == REFUSED_WITH_ENOSYS
    assert decision(audit, used["clone"], CLONE_THREAD) == ALLOWED
    assert decision(audit, used["clone"], CLONE_THREAD | CLONE_NEWUSER) == REFUSED_WITH_EPERM
    assert decision(audit, used["socket"], AF_UNIX) == ALLOWED
    assert decision(audit, used["socket"], AF_INET) == REFUSED_WITH_EPERM
    others = set(range(425)) - {*refused, *used.values()}
    assert {decision(audit, number, AF_INET | CLONE_NEWUSER) for number in others} == {ALLOWED}


@machines
def test_calls_with_the_numbers_of_another_machine_are_not_made(monkeypatch, machine):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    (other,) = set(HEADERS) - {machine}
    assert decision(confinement._CALLS[other][0], 0) == KILLED
    assert decision(confinement._CALLS[machine][0], 0x40000000 + 1) == REFUSED_WITH_EPERM
