"""The parts of a model's turn → actions of the engine protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rx_assistant.dialects import parts as said
from rx_assistant.dialects.citing import Citations, Links
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
from rx_assistant.local.engines.own_tools import OwnCall, OwnTools
from rx_assistant.local.ids import new_id


class Speech:
    """The actions of one turn.

    Calls of the server's own tools give no action: the engine answers them, so they are kept in `own_calls`.
    Without `parallel`, only the first call counts. `left` is the number of tokens that may follow, at least one for
    each piece of text. The estimate is low on purpose, because the model server knows the limit too. `files` are the
    links to files that code has written, with the ids of the files.
    """

    def __init__(
        self,
        passages: Passages,
        tools: OwnTools,
        parallel: bool,
        left: int | None,
        taken: Iterable[str],
        files: Mapping[str, str],
    ) -> None:
        self._texts: list[str] = []
        self.late = ""
        self.calls: list[int] = []
        self.own_calls: dict[int, OwnCall] = {}
        self.is_over = False
        self._citations = Citations(passages.files)
        self._files = passages.files
        self._links = Links(files)
        self._own = {tools.search, tools.code} - {None}
        self._parallel = parallel
        self.left = left
        self._taken = set(taken)
        self._place: tuple[str, int] | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._texts)

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
                    self._texts.append(part.value)
                    yield from self._cited(self._citations.push(part.value))
                case said.Refusal():
                    yield from self._move(part.message, part.part)
                    yield Refusal(part.value)
                case said.Call():
                    yield from self._call(part)
                case said.Arguments(number, value) if number in self.own_calls:
                    self.own_calls[number].pieces.append(value)
                case said.Arguments(number, value) if number in self.calls:
                    yield Arguments(value, self.calls.index(number))
                case said.LateText(value):
                    self.late += value

    def end(self) -> Iterator[Action]:
        """The text that was held back because it could begin a citation or a link."""
        yield from self._cited(self._citations.end())
        yield from self._linked(self._links.end())

    def _call(self, part: said.Call) -> Iterator[Action]:
        yield from self.end()
        if not self._parallel and (self.calls or self.own_calls):
            return
        if part.name in self._own:
            self.own_calls[part.number] = OwnCall(part.name)
            return
        self.calls.append(part.number)
        call_id = part.id if part.id not in self._taken else new_id("call_")
        self._taken.add(call_id)
        yield FunctionCall(part.name, len(self.calls) - 1, call_id)

    def _move(self, message: str, part: int) -> Iterator[Action]:
        """Begin another message or content part when the model begins one."""
        before, self._place = self._place, (message, part)
        if before is None or before == self._place:
            return
        yield from self.end()
        yield EndStep() if before[0] != message else NewPart()

    def _cited(self, pieces: Iterable[tuple[str, int | None]]) -> Iterator[Action]:
        for text, number in pieces:
            if number is None:
                yield from self._linked(self._links.push(text))
            else:
                yield from self._linked(self._links.end())
                yield Text(text, (Citation(self._files[number]),))

    def _linked(self, pieces: Iterable[tuple[str, str | None]]) -> Iterator[Action]:
        for text, file_id in pieces:
            yield Text(text) if file_id is None else Text(text, (Citation(file_id, "file_path"),))

    def _spent(self, value: str) -> bool:
        if self.left is None:
            return False
        self.left -= max(1, tokens.count(value) * 2 // 3)
        return self.left < 0
