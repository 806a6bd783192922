"""The options of one call: the timeout, and extra headers, query parameters and body members, which override others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from rx_assistant.api.request import OMIT, Omit, Params, is_omitted
from rx_assistant.errors import InvalidArgumentError
from rx_assistant.http.timeouts import TimeoutInput

_NAMES = ("extra_headers", "extra_query", "extra_body", "timeout")


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The options of one call. `None` for a header removes that header."""

    extra_headers: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    extra_query: Params = field(default_factory=dict)
    extra_body: Params = field(default_factory=dict, repr=False)
    timeout: TimeoutInput | Omit = OMIT

    def __post_init__(self) -> None:
        for name in ("extra_headers", "extra_query", "extra_body"):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise InvalidArgumentError(f"{name} must be a mapping, got {type(value).__name__}")


NO_OPTIONS = CallOptions()


def take_options(params: Params) -> tuple[dict[str, object], CallOptions]:
    """The operation's own parameters, and the options among the keyword arguments."""
    own = {name: value for name, value in params.items() if name not in _NAMES}
    if len(own) == len(params):
        return own, NO_OPTIONS
    options = {
        name: params[name]
        for name in _NAMES
        if name in params and not is_omitted(params[name]) and (params[name] is not None or name == "timeout")
    }
    return own, CallOptions(**options)  # type: ignore[arg-type]  # the TypedDict of the call has checked them


def refuse_unknown(names: Iterable[str], known: Collection[str], otherwise: str = "") -> None:
    """TypeError for a keyword argument that a method does not have. The message names a similar one, or `otherwise`."""
    for name in names:
        if name not in known:
            likely = get_close_matches(name, known, 1)
            hint = f"; did you mean {likely[0]!r}?" if likely else otherwise
            raise TypeError(f"unexpected keyword argument {name!r}{hint}")
