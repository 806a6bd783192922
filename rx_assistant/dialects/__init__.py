"""Streams of models in other protocols, read as the events of an Assistants run.

    payload ──reader──► parts (text, reasoning, calls …) ──RunWriter──► events
    chat.ChatTranslator, responses.ResponsesTranslator: feed(payload) → events, end() → events

Pure: no I/O, no clock and no chance; ids and times are given. Engines of the local server use the readers alone.
"""

from __future__ import annotations
