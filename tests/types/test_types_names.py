"""The names: as the SDK has them, each in one place, loaded when they are first touched."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from cases import in_one_test
from types_catalogue import is_model
from typing_extensions import is_typeddict

from rx_assistant import types as t

PACKAGES: dict[str, tuple[str, ...]] = {
    # package: how the modules begin whose names concern Assistants
    "openai.types.beta": ("assistant", "thread", "code_interpreter_tool", "file_search_tool", "function_tool"),
    "openai.types.beta.threads": ("",),
    "openai.types.beta.threads.runs": ("",),
    "openai.types.vector_stores": ("",),
    "openai.types": ("vector_store", "file_", "auto_file", "static_file", "other_file"),
    "openai.types.shared": (
        "error_object",
        "metadata",
        "reasoning_effort",
        "comparison_filter",
        "compound_filter",
        "function_",
        "response_format_text.",
        "response_format_json",
    ),
}

ELSEWHERE = {
    "AssistantStreamEvent": "rx_assistant.events: an event is no object of the wire",
}

OTHERWISE = {
    # (package, name): what has that name here, and what the SDK's is called
    ("openai.types.vector_stores", "FileCreateParams"): "of plain files; VectorStoreFileCreateParams",
    ("openai.types.vector_stores", "FileListParams"): "of plain files; VectorStoreFileListParams",
}

NOT_FIELDS = {
    "ErrorObject": {"misalignment"},  # of the Responses API
    "MessageUpdateParams": {"thread_id"},  # parts of the path are arguments of their own, here and below
    "RunUpdateParams": {"thread_id"},
    "RunSubmitToolOutputsParams": {"thread_id"},
    "StepListParams": {"thread_id"},
    "StepRetrieveParams": {"thread_id", "run_id"},
    "FileBatchListFilesParams": {"vector_store_id"},
    "FileUpdateParams": {"vector_store_id"},
}


def sdk_names() -> list[tuple[str, str]]:
    """(package, name) of everything that the SDK exports about Assistants."""
    spec = importlib.util.find_spec("openai")
    if spec is None or spec.origin is None:
        return []
    found = []
    for package, beginnings in PACKAGES.items():
        source = Path(spec.origin).parent.parent.joinpath(*package.split("."), "__init__.py")
        for node in ast.parse(source.read_text("utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level and f"{node.module}.".startswith(beginnings):
                found += [(package, alias.name) for alias in node.names]
    return found


SDK_NAMES = sdk_names()


def compared(kind: Any) -> set[str]:
    """The fields of a model or the keys of a TypedDict, of a union of them all."""
    if get_args(kind):
        return set().union(*map(compared, get_args(kind)))
    if is_typeddict(kind):
        return set(get_type_hints(kind))
    return set(getattr(kind, "model_fields", ()))


@pytest.mark.skipif(not SDK_NAMES, reason="openai is not installed")
def test_the_sdk_has_as_many_names_as_we_think() -> None:
    assert len(SDK_NAMES) > 120


@pytest.mark.skipif(not SDK_NAMES, reason="openai is not installed")
def test_every_name_of_the_sdk_is_here() -> None:
    assert {name for _, name in SDK_NAMES} - set(t.__all__) == set(ELSEWHERE)


@in_one_test(("package", "name"), SDK_NAMES)
def test_what_has_the_sdks_name_has_its_fields(package: str, name: str) -> None:
    if name in ELSEWHERE:
        return
    theirs = compared(getattr(importlib.import_module(package), name))
    lacking = theirs - compared(getattr(t, name)) - NOT_FIELDS.get(name, set())
    assert (lacking != set()) == ((package, name) in OTHERWISE)
    if name in NOT_FIELDS:
        assert NOT_FIELDS[name] <= theirs


def test_every_public_class_of_every_module_is_exported() -> None:
    defined = {
        name
        for module in pkgutil.iter_modules(t.__path__, f"{t.__name__}.")
        for name, value in vars(importlib.import_module(module.name)).items()
        if (is_model(value) or is_typeddict(value)) and value.__module__.startswith(t.__name__)
        if name.isidentifier()  # older pydantics leave ListPage[Run] and the like here
    }
    assert defined == {name for name in t.__all__ if is_model(getattr(t, name)) or is_typeddict(getattr(t, name))}


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Assisant'"):
        t.Assisant  # noqa: B018


def test_importing_the_package_loads_no_model_and_not_pydantic() -> None:
    program = """
import json, sys
import rx_assistant.types
loaded = [name for name in sys.modules if name.startswith(("rx_assistant.types.", "pydantic"))]
rx_assistant.types.TextDelta
print(json.dumps([loaded, "rx_assistant.types.run" in sys.modules, dir(rx_assistant.types)]))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    loaded, run_too, names = json.loads(done.stdout)
    assert loaded == []
    assert not run_too
    assert names == t.__all__
