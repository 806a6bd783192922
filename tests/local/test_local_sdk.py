"""The unmodified official SDK against the local server, over the whole surface."""

from __future__ import annotations

import openai
import pytest
from openai import AssistantEventHandler

import rx_assistant.local

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FOODS = b"Favorite foods.\n\nFilip Carola: cake\n\nTekakwitha Effie: pizza\n"


@pytest.fixture
def scripted():
    """An SDK client for a server that plays the given turns."""
    with_server = []

    def play(*turns, **options) -> openai.OpenAI:
        server = rx_assistant.local.serve(script={"runs": [{"turns": list(turns)}], **options})
        server.start()
        client = openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0)
        with_server.append((server, client))
        return client

    yield play
    for server, client in with_server:
        client.close()
        server.stop()


class Diary(AssistantEventHandler):
    """Notes which callbacks came, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.text = ""
        self.code = ""
        self.arguments = ""

    def on_text_created(self, text) -> None:
        self.calls.append("text_created")

    def on_text_delta(self, delta, snapshot) -> None:
        self.text += delta.value or ""
        assert snapshot.value == self.text

    def on_text_done(self, text) -> None:
        self.calls.append("text_done")
        assert text.value == self.text

    def on_tool_call_created(self, tool_call) -> None:
        self.calls.append(f"{tool_call.type}_created")

    def on_tool_call_delta(self, delta, snapshot) -> None:
        if delta.type == "code_interpreter":
            self.code += delta.code_interpreter.input or ""
        elif delta.type == "function":
            self.arguments += delta.function.arguments or ""

    def on_image_file_done(self, image_file) -> None:
        self.calls.append("image_done")

    def on_end(self) -> None:
        self.calls.append("end")


def test_assistants_live_and_die(sdk):
    made = sdk.beta.assistants.create(
        model="gpt-4o",
        name="Ann",
        description="helps",
        instructions="Be brief.",
        tools=[{"type": "code_interpreter"}, {"type": "file_search"}, WEATHER],
        metadata={"a": "b"},
        temperature=0.5,
        top_p=0.5,
        reasoning_effort="low",
        response_format={"type": "json_object"},
    )
    assert sdk.beta.assistants.retrieve(made.id) == made
    assert [tool.type for tool in made.tools] == ["code_interpreter", "file_search", "function"]
    changed = sdk.beta.assistants.update(made.id, name="Bob", tools=[], metadata={"c": "d"}, temperature=1)
    assert (changed.name, changed.tools, changed.metadata, changed.temperature) == ("Bob", [], {"c": "d"}, 1.0)
    assert changed.instructions == "Be brief."
    assert sdk.beta.assistants.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match=f"No assistant found with id '{made.id}'"):
        sdk.beta.assistants.retrieve(made.id)


def test_pages_go_on_in_both_directions(sdk):
    made = [sdk.beta.assistants.create(model="any", name=str(number)).name for number in range(7)]
    assert [item.name for item in sdk.beta.assistants.list(limit=3)] == made[::-1]
    assert [item.name for item in sdk.beta.assistants.list(limit=3, order="asc")] == made
    first = sdk.beta.assistants.list(limit=3)
    assert first.has_more
    second = sdk.beta.assistants.list(limit=3, after=first.last_id)
    assert [item.name for item in second.data] == ["3", "2", "1"]
    back = sdk.beta.assistants.list(limit=2, before=second.first_id)
    assert [item.name for item in back.data] == ["5", "4"]
    assert back.has_more
    empty = sdk.beta.threads.messages.list(sdk.beta.threads.create().id)
    assert (empty.data, empty.has_more) == ([], False)


def test_threads_and_messages_live_and_die(sdk):
    thread = sdk.beta.threads.create(
        messages=[{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}], metadata={"a": "b"}
    )
    assert sdk.beta.threads.retrieve(thread.id) == thread
    assert sdk.beta.threads.update(thread.id, metadata={"c": "d"}).metadata == {"c": "d"}
    picture = sdk.files.create(file=("a.png", b"\x89PNG"), purpose="vision")
    message = sdk.beta.threads.messages.create(
        thread.id,
        role="user",
        content=[
            {"type": "text", "text": "three"},
            {"type": "image_file", "image_file": {"file_id": picture.id, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ],
        metadata={"e": "f"},
    )
    assert [part.type for part in message.content] == ["text", "image_file", "image_url"]
    assert sdk.beta.threads.messages.retrieve(message.id, thread_id=thread.id) == message
    changed = sdk.beta.threads.messages.update(message.id, thread_id=thread.id, metadata={"g": "h"})
    assert changed.metadata == {"g": "h"}
    texts = [item.content[0].text.value for item in sdk.beta.threads.messages.list(thread.id, limit=1)]
    assert texts == ["three", "two", "one"]
    assert sdk.beta.threads.messages.delete(message.id, thread_id=thread.id).deleted
    assert len(sdk.beta.threads.messages.list(thread.id).data) == 2
    assert sdk.beta.threads.delete(thread.id).deleted


def test_a_handler_of_their_own_hears_text_code_and_images(scripted):
    sdk = scripted(
        [
            {"calls": [{"code": "plot()", "logs": ["ok"], "images": ["plot.png"]}]},
            {"image_file": "plot.png"},
            {"text": "Here it is."},
        ],
        files={"plot.png": {"base64": "iVBORw0KGgo="}},
    )
    assistant, diary = sdk.beta.assistants.create(model="any"), Diary()
    with sdk.beta.threads.create_and_run_stream(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "plot"}]}, event_handler=diary
    ) as stream:
        stream.until_done()
        messages, steps = stream.get_final_messages(), stream.get_final_run_steps()
    assert diary.calls == ["code_interpreter_created", "text_created", "image_done", "text_done", "end"]
    assert (diary.text, diary.code) == ("Here it is.", "plot()")
    file_id = messages[0].content[0].image_file.file_id
    assert sdk.files.content(file_id).content == b"\x89PNG\r\n\x1a\n"
    assert len(steps) == 2


def test_function_tools_with_several_rounds_inside_the_handler(scripted):
    def call(city):
        return [{"calls": [{"function": "get_weather", "arguments": {"city": city}, "id": f"call_{city}"}]}]

    sdk = scripted(call("Paris"), call("Rome"), [{"text": "{output:call_Paris}, {output:call_Rome}"}])

    class Answering(Diary):
        def on_event(self, event) -> None:
            if event.event == "thread.run.requires_action":
                calls = event.data.required_action.submit_tool_outputs.tool_calls
                outputs = [{"tool_call_id": item.id, "output": f"sun for {item.id}"} for item in calls]
                rounds.append(Answering())
                with sdk.beta.threads.runs.submit_tool_outputs_stream(
                    thread_id=event.data.thread_id,
                    run_id=event.data.id,
                    tool_outputs=outputs,
                    event_handler=rounds[-1],
                ) as stream:
                    stream.until_done()

    rounds = [Answering()]
    thread = sdk.beta.threads.create(messages=[{"role": "user", "content": "weather?"}])
    assistant = sdk.beta.assistants.create(model="any", tools=[WEATHER])
    with sdk.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=rounds[0]
    ) as stream:
        stream.until_done()
    assert [diary.arguments for diary in rounds] == ['{"city": "Paris"}', '{"city": "Rome"}', ""]
    assert rounds[-1].text == "sun for call_Paris, sun for call_Rome"


@pytest.mark.parametrize("interleave", [False, True])
def test_parallel_calls_in_one_step(scripted, interleave):
    calls = [{"function": "get_weather", "arguments": {"city": city}, "id": city} for city in ("Paris", "Rome")]
    sdk = scripted([{"calls": calls, "interleave": interleave}], [{"text": "{outputs}"}])
    assistant = sdk.beta.assistants.create(model="any", tools=[WEATHER])
    run = sdk.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "both"}]}
    )
    asked = run.required_action.submit_tool_outputs.tool_calls
    assert [(call.id, call.function.arguments) for call in asked] == [
        ("Paris", '{"city": "Paris"}'),
        ("Rome", '{"city": "Rome"}'),
    ]
    run = sdk.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=run.thread_id,
        tool_outputs=[{"tool_call_id": "Rome", "output": "rain"}, {"tool_call_id": "Paris", "output": "sun"}],
    )
    assert run.status == "completed"
    (step, _) = sdk.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc").data
    assert [call.function.output for call in step.step_details.tool_calls] == ["sun", "rain"]


def test_file_search_cites_what_it_found(sdk):
    store = sdk.vector_stores.create(name="foods")
    file = sdk.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("foods.txt", FOODS))
    assert file.status == "completed"
    assistant = sdk.beta.assistants.create(
        model="any",
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )
    thread = sdk.beta.threads.create(messages=[{"role": "user", "content": "What is Filip's favorite food?"}])
    include = ["step_details.tool_calls[*].file_search.results[*].content"]
    with sdk.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id, include=include) as stream:
        stream.until_done()
        run, (message,) = stream.get_final_run(), stream.get_final_messages()
    text = message.content[0].text
    assert text.value.startswith("Filip Carola: cake【")
    (note,) = text.annotations
    assert text.value[note.start_index : note.end_index] == note.text
    assert note.file_citation.file_id == file.id
    steps = sdk.beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc", include=include)
    (result,) = steps.data[0].step_details.tool_calls[0].file_search.results
    assert (result.file_id, result.file_name) == (file.id, "foods.txt")
    assert 0 < result.score <= 1
    assert "Filip Carola" in result.content[0].text
    plain = sdk.beta.threads.runs.steps.retrieve(steps.data[0].id, thread_id=thread.id, run_id=run.id)
    assert plain.step_details.tool_calls[0].file_search.results[0].content is None


def test_an_attachment_becomes_searchable_for_its_thread(sdk):
    file = sdk.files.create(file=("foods.txt", FOODS), purpose="assistants")
    assistant = sdk.beta.assistants.create(model="any", tools=[{"type": "file_search"}])
    attachments = [{"file_id": file.id, "tools": [{"type": "file_search"}, {"type": "code_interpreter"}]}]
    message = {"role": "user", "content": "What does Effie eat?", "attachments": attachments}
    run = sdk.beta.threads.create_and_run_poll(assistant_id=assistant.id, thread={"messages": [message]})
    thread = sdk.beta.threads.retrieve(run.thread_id)
    assert thread.tool_resources.code_interpreter.file_ids == [file.id]
    (store_id,) = thread.tool_resources.file_search.vector_store_ids
    assert sdk.vector_stores.retrieve(store_id).expires_after.days == 7
    answer = sdk.beta.threads.messages.list(run.thread_id, run_id=run.id).data[0]
    assert "Tekakwitha Effie: pizza" in answer.content[0].text.value


def test_runs_are_created_listed_polled_updated_and_cancelled(scripted):
    sdk = scripted([{"text": "a"}, {"calls": [{"function": "f"}]}])
    assistant = sdk.beta.assistants.create(model="any")
    thread = sdk.beta.threads.create(messages=[{"role": "user", "content": "hi"}])
    run = sdk.beta.threads.runs.create(thread.id, assistant_id=assistant.id, metadata={"a": "b"})
    assert run.status == "queued"
    run = sdk.beta.threads.runs.poll(run.id, thread.id)
    assert run.status == "requires_action"
    assert sdk.beta.threads.runs.list(thread.id).data == [run]
    assert sdk.beta.threads.runs.cancel(run.id, thread_id=thread.id).status == "cancelling"
    run = sdk.beta.threads.runs.poll(run.id, thread.id)
    assert run.status == "cancelled"
    assert sdk.beta.threads.runs.update(run.id, thread_id=thread.id, metadata={"c": "d"}).metadata == {"c": "d"}
    events = sdk.beta.threads.runs.create(thread.id, assistant_id=assistant.id, stream=True)
    assert next(iter(events)).event == "thread.run.created"
    events.response.close()


def test_files_go_up_and_come_down(sdk):
    expiry = {"anchor": "created_at", "seconds": 3600}
    file = sdk.files.create(file=("näme.txt", b"content"), purpose="assistants", expires_after=expiry)
    assert (file.filename, file.bytes, file.status) == ("näme.txt", 7, "processed")
    assert file.expires_at == file.created_at + 3600
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.wait_for_processing(file.id) == file
    assert sdk.files.content(file.id).text == "content"
    other = sdk.files.create(file=b"x", purpose="user_data")
    assert [item.id for item in sdk.files.list(purpose="user_data")] == [other.id]
    assert [item.id for item in sdk.files.list(limit=1, order="asc")] == [file.id, other.id]
    assert sdk.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.content(file.id)


def test_vector_stores_take_files_one_by_one_and_in_batches(sdk):
    files = [sdk.files.create(file=(f"{n}.txt", f"Number {n} is here."), purpose="assistants") for n in range(4)]
    expiry = {"anchor": "last_active_at", "days": 2}
    store = sdk.vector_stores.create(name="numbers", file_ids=[files[0].id], expires_after=expiry)
    assert store.expires_at == store.last_active_at + 2 * 86_400
    static = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 10}}
    added = sdk.vector_stores.files.create_and_poll(
        files[1].id, vector_store_id=store.id, chunking_strategy=static, attributes={"odd": True, "n": 1}
    )
    assert (added.status, added.chunking_strategy.static.max_chunk_size_tokens) == ("completed", 100)
    updated = sdk.vector_stores.files.update(added.id, vector_store_id=store.id, attributes={"n": 2.5})
    assert updated.attributes == {"n": 2.5}
    batch = sdk.vector_stores.file_batches.create_and_poll(
        vector_store_id=store.id, file_ids=[files[2].id, files[3].id]
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == ("completed", 2, 2)
    members = sdk.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, order="asc", limit=1)
    assert [item.id for item in members] == [files[2].id, files[3].id]
    uploaded = sdk.vector_stores.file_batches.upload_and_poll(
        store.id, files=[("5.txt", b"five"), ("6.bin", b"\x00\x01"), ("7.txt", b"\xff\xfe\x00")]
    )
    assert (uploaded.file_counts.completed, uploaded.file_counts.failed) == (1, 2)
    failed = sdk.vector_stores.files.list(store.id, filter="failed").data
    assert {item.last_error.code for item in failed} == {"unsupported_file", "invalid_file"}
    store = sdk.vector_stores.retrieve(store.id)
    assert (store.file_counts.completed, store.file_counts.failed, store.status) == (5, 2, "completed")
    assert sdk.vector_stores.files.content(files[1].id, vector_store_id=store.id).data[0].text == "Number 1 is here."
    assert sdk.vector_stores.update(store.id, name="renamed").name == "renamed"
    assert sdk.vector_stores.files.delete(files[0].id, vector_store_id=store.id).deleted
    sdk.files.delete(files[1].id)
    assert sdk.vector_stores.retrieve(store.id).file_counts.total == 5
    assert [item.id for item in sdk.vector_stores.list()] == [store.id]
    assert sdk.vector_stores.delete(store.id).deleted


def test_search_finds_and_filters(sdk):
    store = sdk.vector_stores.create()
    for name, text, year in (("a.md", "# Cats\nCats sleep all day.", 2020), ("b.md", "# Dogs\nDogs bark.", 2024)):
        file = sdk.files.create(file=(name, text), purpose="assistants")
        sdk.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, attributes={"year": year})
    found = sdk.vector_stores.search(store.id, query="a sleeping cat", max_num_results=1).data
    assert [(item.filename, item.attributes) for item in found] == [("a.md", {"year": 2020})]
    newer = {"type": "gte", "key": "year", "value": 2022}
    both = sdk.vector_stores.search(store.id, query=["cats", "dogs"], filters=newer, rewrite_query=True).data
    assert [item.filename for item in both] == ["b.md"]
    strict = {"score_threshold": 1.0}
    assert sdk.vector_stores.search(store.id, query="cats", ranking_options=strict).data == []


def test_a_batch_is_cancelled_as_far_as_it_was_not_done():
    with rx_assistant.local.serve(ingestion_delay=3600) as server:
        sdk = openai.OpenAI(base_url=server.base_url, api_key="any")
        file = sdk.files.create(file=("a.txt", b"a"), purpose="assistants")
        store = sdk.vector_stores.create()
        batch = sdk.vector_stores.file_batches.create(store.id, file_ids=[file.id])
        assert (batch.status, batch.file_counts.in_progress) == ("in_progress", 1)
        assert sdk.vector_stores.retrieve(store.id).status == "in_progress"
        batch = sdk.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
        assert (batch.status, batch.file_counts.cancelled) == ("cancelled", 1)
        assert sdk.vector_stores.files.retrieve(file.id, vector_store_id=store.id).status == "cancelled"
        assert sdk.vector_stores.retrieve(store.id).status == "completed"
        sdk.close()


@pytest.mark.unjudged
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (409, openai.ConflictError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
def test_faults_become_exceptions_of_the_sdk(status, error):
    faults = [{"request": "POST /threads", "status": status, "times": 1, "message": "not today", "code": "why"}]
    with (
        rx_assistant.local.serve(script={"faults": faults}) as server,
        openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as sdk,
    ):
        with pytest.raises(error, match="not today") as caught:
            sdk.beta.threads.create()
        assert caught.value.code == "why"
        assert sdk.beta.threads.create().id


def test_a_wrong_key_is_refused():
    with rx_assistant.local.serve(api_key="right-and-long-enough") as server:
        with openai.OpenAI(base_url=server.base_url, api_key="wrong-and-long-enough") as sdk:
            with pytest.raises(openai.AuthenticationError) as caught:
                sdk.beta.threads.create()
            assert caught.value.code == "invalid_api_key"
            assert "wrong-and-long-enough" not in str(caught.value)
        with openai.OpenAI(base_url=server.base_url, api_key="right-and-long-enough") as sdk:
            assert sdk.beta.threads.create().id


def test_bad_requests_become_their_exception(sdk):
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.beta.assistants.create(model="any", temperature=3)
    assert (caught.value.param, caught.value.code) == ("temperature", "decimal_above_max_value")


@pytest.mark.parametrize("flat", [False, True])
def test_an_error_event_ends_the_stream(scripted, flat):
    sdk = scripted([{"text": "He"}, {"error_event": "it broke", "code": "server_error", "flat": flat}])
    assistant = sdk.beta.assistants.create(model="any")
    events = sdk.beta.threads.create_and_run(assistant_id=assistant.id, stream=True, thread={})
    if flat:
        assert [event.event for event in events][-1] == "error"
    else:
        with pytest.raises(openai.APIError, match="it broke"):
            list(events)


def test_a_run_that_fails_says_why(scripted):
    sdk = scripted([{"text": "He"}, {"fail": "Slow down.", "code": "rate_limit_exceeded"}])
    assistant = sdk.beta.assistants.create(model="any")
    run = sdk.beta.threads.create_and_run_poll(assistant_id=assistant.id, thread={})
    assert (run.status, run.last_error.code, run.last_error.message) == (
        "failed",
        "rate_limit_exceeded",
        "Slow down.",
    )
    (step,) = sdk.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data
    assert (step.status, step.last_error.code) == ("failed", "rate_limit_exceeded")
    message = sdk.beta.threads.messages.list(run.thread_id).data[0]
    assert message.incomplete_details.reason == "run_failed"
