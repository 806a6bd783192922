"""Three tools: one answers at once, one streams its progress, one runs only after a person has agreed.

python examples/assistant_tools.py
"""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

from rx_assistant import Approval, AssistantClient, ToolSet, local
from rx_assistant.events import ToolEvent, ToolProgress

tools = ToolSet()


@tools.tool(needs_approval=False)
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: 12 °C, light rain"


@tools.tool(needs_approval=False)
def count_guests(rooms: int) -> Iterator[str]:
    """Count the guests, room by room."""
    for room in range(1, rooms + 1):
        sleep(0.2)
        yield f"{room * 2} guests in {room} rooms"


@tools.tool(needs_approval=True)
def order_taxis(count: int) -> str:
    """Order taxis."""
    return f"{count} taxis"


def show(event: ToolEvent) -> None:
    print(f"  {event.name}: {event.item}" if isinstance(event, ToolProgress) else f"  {event.name}")


CALLS = [("get_weather", {"city": "Prague"}), ("count_guests", {"rooms": 3}), ("order_taxis", {"count": 2})]
TURNS = [[{"calls": [{"function": f, "arguments": a} for f, a in CALLS]}], [{"text": "{outputs}."}]]


def main() -> None:
    scenario = {"runs": [{"turns": TURNS}]}
    with local.serve(script=scenario) as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local", tools=tools.definitions())
        thread = client.threads.create(messages=[{"role": "user", "content": "Is all ready for tonight?"}])
        asks = Approval(lambda call: input(f"  {call.name}({call.arguments})? [y/n] ") == "y", timeout=60)
        with client.threads.runs.stream_with_tools(
            thread.id, assistant_id=assistant.id, tools=tools, approve=asks
        ) as stream:
            stream.tool_events.subscribe(show)
            print("".join(stream.text_deltas))


if __name__ == "__main__":
    main()
