"""A callable → the JSON schema of its parameters, and the validation of arguments against it.

pydantic makes the schema and validates. Strict mode follows the published rules for function calling: every property
is required, no other property is allowed, and an optional parameter is a union with null. A null for a parameter that
does not take None means "not given".
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from rx_assistant.errors import ToolArgumentsError
from rx_assistant.tools.context import ToolContext
from rx_assistant.tools.docstrings import Docstring, parsed

_UNSUPPORTED: Final = ("default", "discriminator", "maxLength", "minLength", "uniqueItems", "minProperties")
"""Keywords that strict mode does not allow. pydantic still checks them."""

_NOT_STRICT: Final = ("patternProperties", "prefixItems", "not", "if", "dependentRequired", "propertyNames")
"""Keywords for which strict mode has no replacement."""


class Parameter(NamedTuple):
    """One parameter that the model sets."""

    name: str
    annotation: Any
    default: Any  # inspect.Parameter.empty if it is required
    by_position: bool


class Signature(NamedTuple):
    """The parameters that the model sets, the parameters for the context, and the docstring."""

    parameters: tuple[Parameter, ...]
    contexts: tuple[str, ...]
    docstring: Docstring


def signature_of(function: Callable[..., Any], name: str) -> Signature:
    """Read the signature of a callable. Parameters that a partial function binds are not shown to the model."""
    bound: set[str] = set()
    inner: Any = function
    while isinstance(inner, functools.partial):
        bound |= set(inner.keywords)
        inner = inner.func
    if not (inspect.isroutine(inner) or inspect.isclass(inner)):
        inner = type(inner).__call__
    hints = _hints(inner.__init__ if inspect.isclass(inner) else inner, name)
    contexts: list[str] = []
    parameters: list[Parameter] = []
    for each in inspect.signature(function).parameters.values():
        annotation = hints.get(each.name, Any if each.annotation is each.empty else each.annotation)
        if _is_context(annotation):
            contexts.append(each.name)
        elif each.name not in bound:
            parameters.append(_parameter(each, annotation, name))
    return Signature(tuple(parameters), tuple(contexts), parsed(_docstring(function, inner)))


def _docstring(function: Any, inner: Any) -> str | None:
    """The docstring of a callable object is that of its `__call__`, or else of its class."""
    if inspect.isroutine(function) or inspect.isclass(function):
        return inspect.getdoc(function)
    return inspect.getdoc(inner) or (None if isinstance(function, functools.partial) else inspect.getdoc(function))


def _parameter(each: inspect.Parameter, annotation: Any, name: str) -> Parameter:
    if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
        stars = "*" if each.kind is each.VAR_POSITIONAL else "**"
        raise TypeError(f"tool {name!r} must name its parameters, got {stars}{each.name}: a model cannot know it")
    return Parameter(each.name, annotation, each.default, each.kind is each.POSITIONAL_ONLY)


def _hints(function: Any, name: str) -> dict[str, Any]:
    """The annotations, including those in quotes. Names that are local to the calling function are found."""
    while isinstance(function, functools.partial):
        function = function.func
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError:
        frame: Any = sys._getframe(1)
        names: dict[str, Any] = {}
        while frame is not None:
            names = {**frame.f_locals, **names}
            frame = frame.f_back
    try:
        return typing.get_type_hints(function, localns=names, include_extras=True)
    except NameError as error:
        raise TypeError(f"tool {name!r} has an annotation that cannot be resolved: {error}") from error


def _is_context(annotation: Any) -> bool:
    if annotation is ToolContext:
        return True
    return any(member is ToolContext for member in typing.get_args(annotation))


class Arguments:
    """The arguments of one tool: their JSON schema, and their validation."""

    def __init__(self, signature: Signature, name: str, strict: bool | None) -> None:
        self._signature = signature
        self._model = _model(signature, name)
        schema = self._schema()
        strictly = _strict(schema)
        if strict and strictly is None:
            raise TypeError(
                f"tool {name!r} has a parameter that strict mode does not allow, such as a dictionary with any keys "
                "or a parameter without a type: give it a type, or pass strict=False"
            )
        self.strict = strict is not False and strictly is not None
        self.schema: dict[str, Any] = strictly if self.strict and strictly is not None else schema

    def bind(self, text: str | Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Validate the arguments, and return them as the function takes them.

        Raises:
            ToolArgumentsError: they are not JSON, or do not match the parameters.
        """
        model = self._validated(text)
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for field, parameter in _fields(self._signature):
            given = field in model.model_fields_set
            value = getattr(model, field) if given else parameter.default
            if parameter.by_position:
                positional.append(value)
            elif given:
                named[parameter.name] = value
        return tuple(positional), named

    def _validated(self, text: str | Mapping[str, Any]) -> Any:
        from pydantic import ValidationError

        try:
            value = json.loads(text or "{}") if isinstance(text, str) else json.loads(json.dumps(dict(text)))
        except (ValueError, TypeError, RecursionError) as error:
            raise ToolArgumentsError(f"the arguments must be a JSON object: {error}") from error
        if not isinstance(value, dict):
            raise ToolArgumentsError(f"the arguments must be a JSON object, got {_kind(value)}")
        try:
            return self._model.model_validate_json(json.dumps(value))
        except ValidationError as error:
            without = _without_nulls(value, error)
            if without is not None:
                try:
                    return self._model.model_validate_json(json.dumps(without))
                except ValidationError:
                    pass
            raise ToolArgumentsError(_told(error)) from error

    def _schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = self._model.model_json_schema()
        schema = _untitled(schema)
        schema.setdefault("properties", {})
        for name, default in [(p.name, p.default) for p in self._signature.parameters]:
            if default is not inspect.Parameter.empty and _is_json(default):
                schema["properties"][name].setdefault("default", default)
        return schema


def _fields(signature: Signature) -> Iterator[tuple[str, Parameter]]:
    """A field name for each parameter. Some parameter names are not allowed for fields of pydantic."""
    for index, parameter in enumerate(signature.parameters):
        yield f"p{index}", parameter


def _model(signature: Signature, name: str) -> Any:
    from pydantic import ConfigDict, Field, create_model
    from pydantic.errors import PydanticUserError

    fields: dict[str, Any] = {}
    for field, parameter in _fields(signature):
        description = signature.docstring.parameters.get(parameter.name) or None
        options: dict[str, Any] = {"alias": parameter.name}
        if description and not _is_described(parameter.annotation):
            options["description"] = description
        if parameter.default is not inspect.Parameter.empty:
            options["default_factory"] = functools.partial(_given, parameter.default)
        fields[field] = (parameter.annotation, Field(**options))
    config = ConfigDict(extra="forbid", title=name)
    try:
        return create_model("Arguments", __config__=config, **fields)
    except PydanticUserError as error:
        raise TypeError(f"tool {name!r} has a parameter of a type that JSON cannot express: {error}") from error


def _given(value: Any) -> Any:
    return value


def _is_described(annotation: Any) -> bool:
    """Whether `Annotated[…, Field(description=…)]` describes the parameter."""
    return any(getattr(extra, "description", None) for extra in getattr(annotation, "__metadata__", ()))


def _is_json(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_json(item) for item in value)
    if isinstance(value, dict):
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    return value is None or type(value) in (str, int, float, bool)


def _kind(value: object) -> str:
    return {str: "a text", list: "an array", bool: "a boolean", type(None): "null"}.get(type(value), "a number")


def _told(error: Any) -> str:
    """The error of each argument, without the values, because the model has sent them."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'arguments'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return "the arguments do not match the parameters: " + "; ".join(faults)


def _without_nulls(value: dict[str, Any], error: Any) -> dict[str, Any] | None:
    """The arguments without the nulls that were refused; None if no null was."""
    copy: dict[str, Any] = json.loads(json.dumps(value))
    removed = False
    for fault in error.errors(include_url=False, include_context=False):
        if fault["input"] is None:
            removed = _remove(copy, fault["loc"]) or removed
    return copy if removed else None


def _remove(value: Any, path: tuple[int | str, ...]) -> bool:
    """Remove the null that the path of an error leads to. Names of union members on the path are skipped."""
    holder: Any = None
    key: Any = None
    for part in path:
        in_object = isinstance(value, dict) and part in value
        if in_object or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            holder, key = value, part
            value = holder[key]
    if value is None and isinstance(holder, dict):
        del holder[key]
        return True
    return False


# -- JSON schema -----------------------------------------------------------------------------------------------------


def _untitled(schema: Any, names: bool = False) -> Any:
    """The schema without pydantic's generated titles. `names`: the keys are names of properties."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _untitled(item, names=not names and key in ("properties", "$defs"))
        for key, item in schema.items()
        if names or not (key == "title" and isinstance(item, str))
    }


class _NotStrictError(Exception):
    """The error for a schema that strict mode does not allow."""


def _strict(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema in strict mode; None if strict mode cannot express it."""
    try:
        return _strictly(json.loads(json.dumps(schema)), schema)
    except _NotStrictError:
        return None


def _strictly(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(schema, dict) or any(word in schema for word in _NOT_STRICT):
        raise _NotStrictError
    if not {"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"} & set(schema):
        raise _NotStrictError
    if "$ref" in schema and set(schema) - {"$ref", "default"}:
        schema = {**_resolved(schema.pop("$ref"), root), **schema}
    members = schema.pop("allOf", None)
    if members is not None:
        if len(members) != 1:
            raise _NotStrictError
        schema = {**members[0], **schema}
        return _strictly(schema, root)
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")
    if "anyOf" in schema:
        schema["anyOf"] = [_strictly(member, root) for member in schema["anyOf"]]
    if schema.get("type") == "array":
        schema["items"] = _strictly(schema.get("items"), root)
    if schema.get("type") == "object":
        _close(schema, root)
    if "$defs" in schema:
        schema["$defs"] = {name: _strictly(each, root) for name, each in schema["$defs"].items()}
    return {key: item for key, item in schema.items() if key not in _UNSUPPORTED}


def _close(schema: dict[str, Any], root: dict[str, Any]) -> None:
    """Require all properties of an object, and allow no others."""
    properties = schema.get("properties")
    if schema.get("additionalProperties") or properties is None:
        raise _NotStrictError
    required = schema.get("required", ())
    schema["properties"] = {
        name: _strictly(each, root) if name in required else _nullable(_strictly(each, root))
        for name, each in properties.items()
    }
    schema["required"] = [*properties]
    schema["additionalProperties"] = False


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in a union with null."""
    members = schema.get("anyOf", [schema])
    if any(member.get("type") == "null" for member in members):
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [*members, {"type": "null"}]}
    outside = {key: schema[key] for key in ("description",) if key in schema}
    inside = {key: item for key, item in schema.items() if key not in outside}
    return {"anyOf": [inside, {"type": "null"}], **outside}


def _resolved(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    value: Any = root
    for part in reference.removeprefix("#/").split("/"):
        value = value[part.replace("~1", "/").replace("~0", "~")]
    return typing.cast("dict[str, Any]", json.loads(json.dumps(value)))
