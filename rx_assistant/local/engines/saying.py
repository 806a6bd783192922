"""The parts of a model's turn → actions of the engine protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rx_assistant.dialects import parts as said
from rx_assistant.dialects.citing import Citations
from rx_assistant.local import tokens
from rx_assistant.local.engine import (
    Action,
    Arguments,
    Citation,
    EndStep,
    FunctionCall,
    NewPart,
    Refusal,
    Text,
)
from rx_assistant.local.engines.asking import Passages
from rx_assistant.local.ids import new_id


class Speech:
    """The actions of one turn.

    Calls of the function `search` give no action: they are kept in `searches`, because the engine answers them itself.
    Without `parallel`, only the first call counts. `left` is the number of tokens that may follow, at least one for
    each piece of text. The estimate is rather low, because the model server knows the limit too.
    """

    def __init__(
        self, passages: Passages, search: str | None, parallel: bool, left: int | None, taken: Iterable[str]
    ) -> None:
        self.text = ""
        self.late = ""
        self.calls: list[int] = []
        self.searches: dict[int, list[str]] = {}
        self.is_over = False
        self._citations = Citations(passages.files)
        self._files = passages.files
        self._search = search
        self._parallel = parallel
        self.left = left
        self._taken = set(taken)
        self._place: tuple[str, int] | None = None

    def hear(self, parts: Iterable[said.Part]) -> Iterator[Action]:
        """The actions of these parts, until the limit is reached: then `is_over`."""
        for part in parts:
            if isinstance(part, said.Text | said.Refusal | said.Arguments) and self._spent(part.value):
                self.is_over = True
                yield from self.end()
                return
            match part:
                case said.Text():
                    yield from self._move(part.message, part.part)
                    self.text += part.value
                    yield from self._cited(self._citations.push(part.value))
                case said.Refusal():
                    yield from self._move(part.message, part.part)
                    yield Refusal(part.value)
                case said.Call():
                    yield from self._call(part)
                case said.Arguments(number, value) if number in self.searches:
                    self.searches[number].append(value)
                case said.Arguments(number, value) if number in self.calls:
                    yield Arguments(value, self.calls.index(number))
                case said.LateText(value):
                    self.late += value

    def end(self) -> Iterator[Action]:
        """The text that was held back because it could begin a citation."""
        yield from self._cited(self._citations.end())

    def _call(self, part: said.Call) -> Iterator[Action]:
        yield from self.end()
        if not self._parallel and (self.calls or self.searches):
            return
        if part.name == self._search:
            self.searches[part.number] = []
            return
        self.calls.append(part.number)
        call_id = part.id if part.id not in self._taken else new_id("call_")
        self._taken.add(call_id)
        yield FunctionCall(part.name, len(self.calls) - 1, call_id)

    def _move(self, message: str, part: int) -> Iterator[Action]:
        """Begin another message or content part where the model does."""
        before, self._place = self._place, (message, part)
        if before is None or before == self._place:
            return
        yield from self.end()
        yield EndStep() if before[0] != message else NewPart()

    def _cited(self, pieces: Iterable[tuple[str, int | None]]) -> Iterator[Action]:
        for text, number in pieces:
            yield Text(text) if number is None else Text(text, (Citation(self._files[number]),))

    def _spent(self, value: str) -> bool:
        if self.left is None:
            return False
        self.left -= max(1, tokens.count(value) * 2 // 3)
        return self.left < 0
