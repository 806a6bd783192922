"""The engines: the built-in assistant, the scripted assistant, and any object that a program names."""

from __future__ import annotations

import importlib
import os
import sys

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.engine import Engine
from rx_assistant.local.engines.builtin import BuiltinEngine
from rx_assistant.local.engines.scripted import ScriptedEngine

__all__ = ["BuiltinEngine", "ScriptedEngine", "load_engine"]


def load_engine(name: str) -> Engine:
    """The engine that `builtin` or `module:object` names.

    The object is an engine, or a class or function without arguments that returns one. The module may be in the working
    directory.
    """
    if name == "builtin":
        return BuiltinEngine()
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise ConfigurationError(
            "engine must be 'builtin', 'scripted' with a script, 'chat' or 'responses' with an upstream, or "
            f"'module:object', got {name!r}"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: object = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"engine must name an object that can be imported, got {name!r}: {error}") from error
    if callable(found) and (isinstance(found, type) or not hasattr(found, "run")):
        try:
            found = found()
        except Exception as error:
            raise ConfigurationError(
                f"engine must be an engine, or make one when it is called without arguments, got {name!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(found, Engine):
        raise ConfigurationError(f"engine must have a method `run(context)`, got {name!r}: a {type(found).__name__}")
    return found
