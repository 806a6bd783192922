"""Public names that a package loads when they are first used (PEP 562).

A package lists its names once: as imports in `exports.py` beside its `__init__.py`. Type checkers follow these imports.
At run time nothing in `exports.py` is imported: `exports_of` runs its compiled code with an `__import__` that only
notes each name and its module. The code comes from the package's loader, so this works from source files, from compiled
files without source, from zip files and in frozen programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec


class _Nothing:
    """A module of which every name is None."""

    def __getattr__(self, name: str) -> None:
        return None


def exports_of(package: str) -> dict[str, str]:
    """Each public name of the package → the module that has it."""
    spec = find_spec(f"{package}.exports")
    assert spec is not None
    homes: dict[str, str] = {}

    def note(module: str, _globals: object, _locals: object, names: tuple[str, ...], _level: int) -> _Nothing:
        homes.update(dict.fromkeys(names, module))
        return _Nothing()

    code = spec.loader.get_code(spec.name)  # type: ignore[union-attr]  # every loader of files has it
    exec(code, {"__builtins__": {"__import__": note}})
    return homes


def load(package: str, homes: Mapping[str, str], name: str) -> object:
    """The value of a public name. AttributeError if the package has no such name."""
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    if homes[name] == package:
        return import_module(f"{package}.{name}")
    return getattr(import_module(homes[name]), name)
