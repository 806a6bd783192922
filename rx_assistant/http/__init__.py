"""HTTP without Rx: requests as values, sessions that send them, and the open bodies of event streams."""

from rx_assistant.http.dialects import Azure, Dialect, Foundry, OpenAI
from rx_assistant.http.timeouts import Timeout

__all__ = ["Azure", "Dialect", "Foundry", "OpenAI", "Timeout"]
