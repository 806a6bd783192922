"""Streams are Observables: merge two runs, follow each tool call, stop waiting for a slow run.

python examples/compose.py
"""

from __future__ import annotations

from concierge import conversation
from reactivex import Observable, just, operators as ops

from rx_assistant import AssistantClient, AssistantStream, operators as ax
from rx_assistant.operators import ToolCallStream


def ask(client: AssistantClient, assistant_id: str, question: str) -> AssistantStream:
    """A run on a new thread; nothing is sent before the first subscription."""
    return client.threads.create_and_run_stream(
        assistant_id=assistant_id, thread={"messages": [{"role": "user", "content": question}]}
    )


def two_at_once(client: AssistantClient, assistant_id: str) -> None:
    """Two runs side by side, joined to four pieces a second each."""
    print("Two runs, merged:")
    with ask(client, assistant_id, "Tell me a story") as story, ask(client, assistant_id, "Good day!") as greeting:
        left = story.pipe(ax.text_deltas(), ax.coalesce(0.25), ops.map(in_one_line), ops.take(8))
        right = greeting.pipe(ax.text_deltas(), ax.coalesce(0.25), ops.map(in_one_line), ops.map(indented))
        for line in left.pipe(ops.merge(right)):
            print(f"  {line}")


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def indented(text: str) -> str:
    return f"{'':55}{text}"


def each_call(client: AssistantClient, assistant_id: str) -> None:
    """The arguments of each tool call as values, while they are still being written."""
    print("\nTool calls, as they are made:")
    with ask(client, assistant_id, "What is the weather in Lisbon and in Tokyo?") as stream:
        for line in stream.pipe(ax.tool_calls("function"), ops.flat_map(arguments_of)):
            print(f"  {line}")


def arguments_of(call: ToolCallStream) -> Observable[str]:
    def show(arguments: object) -> str:
        return f"{call.index}: {call.name}({arguments})"

    return call.partial_arguments().pipe(ops.map(show), ops.distinct_until_changed())


def in_time(client: AssistantClient, assistant_id: str) -> None:
    """The text of the first second; then the last reader leaves, and the run is cancelled."""
    print("\nAs much of a story as fits into a second:")
    stream = client.threads.create_and_run_stream(
        assistant_id=assistant_id,
        thread={"messages": [{"role": "user", "content": "Tell me a story"}]},
        on_idle="cancel",
    )
    with stream:
        text = stream.pipe(ax.text_deltas(), ops.take_with_time(1.0), ops.reduce(add, ""))
        print(f"  {text.run()} ...")
        print(f"  and the server says that the run is {stream.cancel().status}")


def no_answer(client: AssistantClient, assistant_id: str) -> None:
    """A different answer if the first word does not arrive in time."""
    print("\nAn answer, or an excuse:")
    with ask(client, assistant_id, "Good day!") as stream:
        first = stream.pipe(ax.text_deltas(), ops.first(), ops.timeout(0.0001, just("(no answer in time)")))
        print(f"  {first.run()}")


def add(text: str, piece: str) -> str:
    return text + piece


def main() -> None:
    with conversation() as talk, AssistantClient(base_url=talk.base_url) as client:
        for example in (two_at_once, each_call, in_time, no_answer):
            example(client, talk.assistant_id)


if __name__ == "__main__":
    main()
