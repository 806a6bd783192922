"""Functions as tools of an assistant, and the loop that answers its calls."""

from __future__ import annotations

from rx_assistant.tools.answering import Answering, Options
from rx_assistant.tools.approval import Approval, Decide, Decision, PendingCall
from rx_assistant.tools.context import ToolContext
from rx_assistant.tools.failures import ExposeErrors
from rx_assistant.tools.hosts import LoopThread, RunningLoop
from rx_assistant.tools.operator import Submit, answer_with
from rx_assistant.tools.toolset import Tool, Tools, ToolSet

__all__ = [
    "Answering",
    "Approval",
    "Decide",
    "Decision",
    "ExposeErrors",
    "LoopThread",
    "Options",
    "PendingCall",
    "RunningLoop",
    "Submit",
    "Tool",
    "ToolContext",
    "ToolSet",
    "Tools",
    "answer_with",
]
