"""/models: some clients list the models first. A run accepts any model name, so any name is a model."""

from __future__ import annotations

from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject

_DEFAULT = "local"


async def index(request: CheckedRequest) -> JsonObject:
    """The models of all assistants, and `local`."""
    named = [assistant["model"] for assistant in request.state.store.each("assistant", "")]
    return {"object": "list", "data": [_model(name) for name in dict.fromkeys([_DEFAULT, *named])]}


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The model with that name."""
    return _model(request.ids["model"])


def _model(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": 0, "owned_by": "rx_assistant"}


OPERATIONS = (
    Operation("GET", "/models", index),
    Operation("GET", "/models/{model:path}", retrieve),
)
