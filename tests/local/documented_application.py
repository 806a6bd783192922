"""An application as OpenAI's guides for the Assistants API write it: file search, functions, a streaming handler.

It names no server: the SDK takes its base URL from the environment. It is a program that is given the directory of its
files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from openai import AssistantEventHandler, OpenAI
from typing_extensions import override

client = OpenAI()
HERE = Path(sys.argv[1])


class Analyst(AssistantEventHandler):
    """The handler of the guide for file search."""

    @override
    def on_text_created(self, text) -> None:
        print("assistant > ", end="", flush=True)

    @override
    def on_tool_call_created(self, tool_call) -> None:
        print(f"assistant > {tool_call.type}", flush=True)

    @override
    def on_message_done(self, message) -> None:
        message_content = message.content[0].text
        citations = []
        for index, annotation in enumerate(message_content.annotations):
            message_content.value = message_content.value.replace(annotation.text, f"[{index}]")
            if file_citation := getattr(annotation, "file_citation", None):
                cited_file = client.files.retrieve(file_citation.file_id)
                citations.append(f"[{index}] {cited_file.filename}")
        print(message_content.value)
        print("\n".join(citations))


def search_files() -> None:
    """A vector store of one file, another file attached to a message, one question."""
    assistant = client.beta.assistants.create(
        name="Financial Analyst Assistant",
        instructions="Use your knowledge base to answer questions about audited financial statements.",
        model="gpt-4o",
        tools=[{"type": "file_search"}],
    )
    vector_store = client.vector_stores.create(name="Financial Statements")
    with (HERE / "goog-10k.txt").open("rb") as stream:
        batch = client.vector_stores.file_batches.upload_and_poll(vector_store_id=vector_store.id, files=[stream])
    print(batch.status, batch.file_counts.completed)
    assistant = client.beta.assistants.update(
        assistant_id=assistant.id, tool_resources={"file_search": {"vector_store_ids": [vector_store.id]}}
    )
    with (HERE / "aapl-10k.txt").open("rb") as stream:
        message_file = client.files.create(file=stream, purpose="assistants")
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": "How many shares of AAPL were outstanding at the end of October 2023?",
                "attachments": [{"file_id": message_file.id, "tools": [{"type": "file_search"}]}],
            }
        ]
    )
    with client.beta.threads.runs.stream(
        thread_id=thread.id,
        assistant_id=assistant.id,
        instructions="Please address the user as Jane Doe. The user has a premium account.",
        event_handler=Analyst(),
    ) as stream:
        stream.until_done()


class Weather(AssistantEventHandler):
    """The handler of the guide for function calling."""

    @override
    def on_event(self, event) -> None:
        if event.event == "thread.run.requires_action":
            self.handle_requires_action(event.data)

    def handle_requires_action(self, data) -> None:
        """Answer each call."""
        tool_outputs = []
        for tool in data.required_action.submit_tool_outputs.tool_calls:
            if tool.function.name == "get_current_temperature":
                tool_outputs.append({"tool_call_id": tool.id, "output": "57"})
            elif tool.function.name == "get_rain_probability":
                tool_outputs.append({"tool_call_id": tool.id, "output": "0.06"})
        self.submit_tool_outputs(tool_outputs)

    def submit_tool_outputs(self, tool_outputs) -> None:
        """Send the answers, and stream what follows."""
        with client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=self.current_run.thread_id,
            run_id=self.current_run.id,
            tool_outputs=tool_outputs,
            event_handler=Weather(),
        ) as stream:
            for text in stream.text_deltas:
                print(text, end="", flush=True)
            print()


def call_functions() -> None:
    """Two functions, called side by side."""
    place = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
    assistant = client.beta.assistants.create(
        instructions="You are a weather bot. Use the provided functions to answer questions.",
        model="gpt-4o",
        tools=[
            {"type": "function", "function": {"name": name, "description": text, "parameters": place}}
            for name, text in (
                ("get_current_temperature", "Get the current temperature for a specific location"),
                ("get_rain_probability", "Get the probability of rain for a specific location"),
            )
        ],
    )
    thread = client.beta.threads.create()
    client.beta.threads.messages.create(
        thread_id=thread.id,
        role="user",
        content="What's the weather in San Francisco today and the likelihood it'll rain?",
    )
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=Weather()
    ) as stream:
        stream.until_done()


search_files()
call_functions()
