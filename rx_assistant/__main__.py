"""`rx-assistant`, also as `python -m rx_assistant`."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line; without the `cli` extra, say how to get it."""
    try:
        from rx_assistant.cli import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("rx_assistant"):
            raise
        sys.exit(
            f"rx-assistant: the command line needs the package {error.name!r}, which the `cli` extra brings: "
            "pip install 'rx_assistant[cli]'"
        )
    code = run()
    gc.freeze()  # else Python searches all objects for cycles while it exits, which takes longer than all the rest
    sys.exit(code)


if __name__ == "__main__":
    main()
