"""The clients: every operation of the Assistants API, sync and async, and the streams of runs."""

from rx_assistant.client.clients import AssistantClient, AsyncAssistantClient

__all__ = ["AssistantClient", "AsyncAssistantClient"]
