"""`rx-assistant chat`: question after question, in a terminal or from the lines of a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rx_assistant.cli.ask import Where, follow, open_conversation
from rx_assistant.cli.failure import RunFailed
from rx_assistant.cli.output import Output
from rx_assistant.cli.show import describe_end
from rx_assistant.cli.talk import Talk


def chat(where: Where, *, files: Sequence[Path]) -> None:
    """Talk until the person leaves, or the lines end."""
    with open_conversation(where) as (client, conversation):

        def talk(output: Output) -> Talk:
            return Talk(client, conversation, output, files, is_own=where.assistant_id is None)

        if sys.stdin.isatty() and sys.stdout.isatty():
            from rx_assistant.cli.prompt import Prompt

            Prompt(talk).run()
        else:
            _answer_lines(talk(Output()))


def _answer_lines(talk: Talk) -> None:
    """Ask the lines of the standard input, each after the answer before. The command ends with the last failure."""
    failure: str | None = None
    for line in sys.stdin:
        if question := line.strip():
            stream = talk.question(question)()
            failure = describe_end(follow(stream, talk.output))
            talk.output.finish()
            if failure is not None:
                talk.output.note(failure, "red")
    if failure is not None:
        raise RunFailed(failure)
