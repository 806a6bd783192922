"""One run, many observers: they may subscribe at any time, get every event, and share one request.

python examples/observer.py
"""

from __future__ import annotations

from concierge import conversation
from reactivex import operators as ops
from reactivex.observer import Observer

from rx_assistant import AssistantClient, operators as ax
from rx_assistant.events import ThreadMessageDelta, ThreadRunStepCreated
from rx_assistant.types import Run


class Teleprinter(Observer[str]):
    """Prints its items and its ending."""

    def _on_next_core(self, value: str) -> None:
        print(value, end="", flush=True)

    def _on_error_core(self, error: Exception) -> None:
        print(f"\n-- {error}")

    def _on_completed_core(self) -> None:
        print("\n-- the end")


def print_step(event: ThreadRunStepCreated) -> None:
    print(f"-- step {event.data.id} is a {event.data.type}")


def print_cost(run: Run) -> None:
    if run.usage:
        print(f"-- {run.status}: {run.usage.completion_tokens} tokens were written")


def clumsy(_event: ThreadMessageDelta) -> None:
    raise RuntimeError("this observer fails, and only this one")


def print_failure(error: Exception) -> None:
    print(f"-- an observer was detached: {error}")


def longer_words(count: int, text: str) -> int:
    return count + sum(len(word) > 6 for word in text.split())


def main() -> None:
    with (
        conversation() as talk,
        AssistantClient(base_url=talk.base_url) as client,
        client.threads.runs.stream(
            talk.thread_id,
            assistant_id=talk.assistant_id,
            additional_messages=[{"role": "user", "content": "Good evening!"}],
        ) as stream,
    ):
        stream.pipe(ax.of_type(ThreadRunStepCreated)).subscribe(print_step)
        stream.pipe(ax.of_type(ThreadMessageDelta)).subscribe(clumsy, print_failure)
        stream.pipe(ax.text_deltas()).subscribe(Teleprinter())
        stream.pipe(ax.runs()).subscribe(print_cost)
        stream.until_done()

        # A late observer still gets all events.
        long = stream.pipe(ax.text_deltas(), ops.scan(longer_words, 0)).run()
        print(f"-- {long} words of more than six letters, counted afterwards")


if __name__ == "__main__":
    main()
