"""Views: real subclasses of wire models that compute each field when it is read.

`maker_of` creates such a class from a model and one getter per field. An instance only holds a source and a number: a
state and a version, or a delta event and a position. pydantic reads values from `__dict__`; for a view, this builds a
plain model. So a view can be dumped, compared, printed, matched and put into users' models like the model, and reading
one field computes only that field.

Two kinds of views also hold the value of one field, so that reading it calls no function. `holder_of` is for a text
that is known already. `around` is for an inner object that nearly every reader reads; its views hold nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, ClassVar, Generic, NamedTuple, NoReturn, TypeAlias, TypeVar

from rx_assistant.types import ReadOnlyList, WireModel

_M = TypeVar("_M", bound=WireModel)

Getter: TypeAlias = Callable[[Any], Any]
"""A view → the value of one of its fields; None if the server has not sent it."""

Base: TypeAlias = Callable[[Any], WireModel | None]
"""A view → the model for the fields without a getter; None if there is none yet."""


class View:
    """The methods of all views. `_source` and `_at` select the content."""

    __slots__ = ()
    _source: Any
    _at: int
    _model: ClassVar[type[WireModel]]
    _getters: ClassVar[Mapping[str, Getter]]
    _base: ClassVar[Base]

    def to_model(self) -> Any:
        """The view's content as a plain model."""
        base = type(self)._base(self)
        values: dict[str, Any] = {}
        if base is not None:
            values = {name: getattr(base, name) for name in base.model_fields_set} | (base.model_extra or {})
        for name, getter in self._getters.items():
            value = getter(self)
            if value is not None:
                values[name] = _plain(value)
        return self._model.model_construct(set(values), **values)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # object declares a variable
        values: dict[str, Any] = self.to_model().__dict__
        return values

    def __getattr__(self, name: str) -> Any:
        if name in ("_source", "_at", "_held"):
            raise AttributeError(name)
        return getattr(self.to_model(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.to_model(), name, value)  # raises the frozen model's error
        self._refuse(name)

    def __delattr__(self, name: str) -> None:
        delattr(self.to_model(), name)
        self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WireModel):
            return NotImplemented
        return bool(self.to_model() == (other.to_model() if isinstance(other, View) else other))

    def __hash__(self) -> int:
        return hash(self.to_model())

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: object = None) -> Any:
        return self.to_model()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _unchanged, (self.to_model(),)

    def __repr__(self) -> str:
        return repr(self.to_model())

    def __str__(self) -> str:
        return str(self.to_model())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Any:
        """A plain model with the fields in `update` replaced."""
        return self.to_model().model_copy(update=update, deep=deep)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Like the model's method."""
        dumped: dict[str, Any] = self.to_model().model_dump(**options)
        return dumped

    def model_dump_json(self, **options: Any) -> str:
        """Like the model's method."""
        dumped: str = self.to_model().model_dump_json(**options)
        return dumped


class Maker(NamedTuple, Generic[_M]):
    """Functions that create views of one model."""

    view: Callable[[Any, int], _M]
    """(source, at) → a view."""
    inside: Getter
    """A view → a view of an inner object with the same source. Use it as a getter."""


def _without_base(_view: Any) -> None:
    return None


def maker_of(
    model: type[_M], getters: Mapping[str, Getter], *, base: Base = _without_base, kind: type[View] = View
) -> Maker[_M]:
    """The functions that create views of the model."""
    view_type = _type_of(model, getters, base, kind, ("_at", "_source"))
    set_source, set_at = view_type._source.__set__, view_type._at.__set__

    def make(source: Any, at: int) -> _M:
        view: _M = view_type()
        set_source(view, source)
        set_at(view, at)
        return view

    def inside(outer: Any) -> _M:
        view: _M = view_type()
        set_source(view, outer._source)
        set_at(view, outer._at)
        return view

    return Maker(make, inside)


def holder_of(
    model: type[_M], held: str, getters: Mapping[str, Getter], *, base: Base = _without_base, kind: type[View] = View
) -> Callable[[Any, int, Any], _M]:
    """The function (source, at, value) → a view of the model that holds the value of its field `held`."""
    view_type = _holding_type(model, held, getters, base, kind, ("_at", "_held", "_source"))
    set_source, set_at, set_held = view_type._source.__set__, view_type._at.__set__, view_type._held.__set__

    def make(source: Any, at: int, value: Any) -> _M:
        view: _M = view_type()
        set_source(view, source)
        set_at(view, at)
        set_held(view, value)
        return view

    return make


def around(
    model: type[_M], held: str, getters: Mapping[str, Getter], *, base: Base = _without_base, kind: type[View] = View
) -> Callable[[WireModel], _M]:
    """The function inner view → a view of the model with the same source, whose field `held` is the inner view."""
    view_type = _holding_type(model, held, getters, base, kind, ("_held",))
    view_type._source, view_type._at = property(attrgetter("_held._source")), property(attrgetter("_held._at"))
    set_held = view_type._held.__set__

    def make(inner: WireModel) -> _M:
        view: _M = view_type()
        set_held(view, inner)
        return view

    return make


def _holding_type(
    model: type[WireModel],
    held: str,
    getters: Mapping[str, Getter],
    base: Base,
    kind: type[View],
    slots: tuple[str, ...],
) -> Any:
    view_type = _type_of(model, {**getters, held: attrgetter("_held")}, base, kind, slots)
    setattr(view_type, held, view_type._held)  # the descriptor of the slot: faster than a property
    return view_type


def _type_of(
    model: type[WireModel], getters: Mapping[str, Getter], base: Base, kind: type[View], slots: tuple[str, ...]
) -> Any:
    namespace: dict[str, Any] = {"__slots__": slots, "__doc__": model.__doc__}
    namespace |= {"__module__": model.__module__, "__qualname__": model.__qualname__}
    metaclass: Any = type(model)
    view_type = metaclass(model.__name__, (kind, model), namespace)
    view_type._model, view_type._getters, view_type._base = model, getters, staticmethod(base)
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        setattr(view_type, name, property(getters.get(name) or _from_base(base, name, default)))
    view_type.__init__ = object.__init__  # the functions below fill the slots; pydantic would validate
    return view_type


def _from_base(base: Base, name: str, default: Any) -> Getter:
    def read(view: Any) -> Any:
        model = base(view)
        return default if model is None else getattr(model, name)

    return read


def _unchanged(model: WireModel) -> WireModel:
    """Unpickle a view: it was pickled as a plain model."""
    return model


def _plain(value: Any) -> Any:
    if isinstance(value, View):
        return value.to_model()
    if isinstance(value, list):
        return ReadOnlyList([_plain(item) for item in value])
    return value
