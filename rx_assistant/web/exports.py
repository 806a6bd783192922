"""The public names of `rx_assistant.web`. Type checkers read these imports; `rx_assistant.lazy` does at run time."""

from rx_assistant.web.asgi import EventStreamResponse as EventStreamResponse
from rx_assistant.web.encoder import Encoder as Encoder
from rx_assistant.web.event_stream import AsyncEventStream as AsyncEventStream, EventStream as EventStream
from rx_assistant.web.reading import Protocol as Protocol, Source as Source
