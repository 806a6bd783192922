"""The colours of the windows, light and dark, and which of the two the desktop prefers."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

BLUE, RED = "#3b5bfd", "#d5453b"
NAMES = ["ink", "faint", "page", "paper", "card", "field", "line", "alarm", "red", "link"]
_LIGHT = ("#1d2433", "#6b7487", "#eef1f6", "#ffffff", "#e3e8f1", "#f4f6fa", "#c9d0dd", "#fdecea", "#b3261e", "#2f4be0")
_DARK = ("#e4e8f1", "#98a2b8", "#12151c", "#1c212c", "#2a3242", "#12151c", "#3a4358", "#3c1d1d", "#ff9d94", "#9db2ff")
LIGHT: dict[str, str] = dict(zip(NAMES, _LIGHT, strict=True))
DARK: dict[str, str] = dict(zip(NAMES, _DARK, strict=True))

_THEMES = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Themes\Personalize"
_PORTAL = "--dest org.freedesktop.portal.Desktop --object-path /org/freedesktop/portal/desktop"
_ASKING = {
    "darwin": ("defaults read -g AppleInterfaceStyle", "Dark"),
    "win32": (f"reg query {_THEMES} /v AppsUseLightTheme", "0x0"),
    "linux": (
        f"gdbus call --session --timeout 1 {_PORTAL} --method org.freedesktop.portal.Settings.Read "
        "org.freedesktop.appearance color-scheme",
        "uint32 1",
    ),
}  # a command, and its output on a dark desktop


def prefers_dark() -> bool:
    """Whether the desktop prefers dark colours, for toolkits that do not know it; False if it has no preference."""
    with suppress(KeyError, OSError, subprocess.TimeoutExpired):
        command, dark = _ASKING[sys.platform]
        return dark in subprocess.run(command.split(), capture_output=True, text=True, timeout=3).stdout
    return False
