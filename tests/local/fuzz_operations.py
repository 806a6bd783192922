"""`python tests/local/fuzz_operations.py [EXAMPLES]`: schemathesis asks all 44 operations; no reply may be a 5xx.

Needs the command `schemathesis` (`pip install 'rx_assistant[fuzz]'`) and the published document. There are two passes:
the unchanged document, whose ids are mostly unknown to the server, and the document with ids of objects that exist,
without the operations that delete them. The server is asked over a socket and counts its replies itself. Prints the
counts; the exit code is 1 if there was a 5xx or an operation was never asked.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
import yaml
from starlette.responses import Response

sys.path.insert(0, str(Path(__file__).parents[1]))

import rx_assistant.local
from local.conformance import document, templates


class Counting:
    """An ASGI application that counts the statuses of another one, by operation.

    While it is `keeping`, it deletes nothing: schemathesis tries methods that the document does not have.
    """

    def __init__(self, app) -> None:
        self._app = app
        self.statuses: Counter[tuple[str, str, int]] = Counter()
        self.keeping = False

    async def __call__(self, scope, receive, send) -> None:
        async def counted(message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"].removeprefix("/v1")
                self.statuses[scope["method"], path, message["status"]] += 1
            await send(message)

        if self.keeping and scope["method"] == "DELETE":
            await Response(status_code=405)(scope, receive, send)
        else:
            await self._app(scope, receive, counted)

    def by_operation(self) -> dict[tuple[str, str], Counter[int]]:
        """How often each operation answered with each status."""
        found: dict[tuple[str, str], Counter[int]] = {(method, path): Counter() for method, path, _ in templates()}
        for (method, path, status), count in self.statuses.items():
            for known, template, pattern in templates():
                if known == method and pattern.fullmatch(path):
                    found[known, template][status] += count
                    break
        return found


@contextmanager
def serving(app):
    """The base URL of the application on a free port."""
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(20)


def existing(url: str) -> dict[str, str]:
    """One object of each kind, by the name that the document gives its id."""
    with httpx.Client(base_url=url) as http:

        def post(path: str, body: dict | None = None, **options) -> dict:
            return http.post(path, json=body, **options).raise_for_status().json()

        file = post("/files", files={"file": ("a.txt", b"text")}, data={"purpose": "assistants"})["id"]
        store = post("/vector_stores")["id"]
        batch = post(f"/vector_stores/{store}/file_batches", {"file_ids": [file]})["id"]
        assistant = post("/assistants", {"model": "any"})["id"]
        thread = post("/threads", {"messages": [{"role": "user", "content": "hi"}]})["id"]
        run = post(f"/threads/{thread}/runs", {"assistant_id": assistant})["id"]
        message = http.get(f"/threads/{thread}/messages").json()["data"][0]["id"]
        steps: list[dict] = []
        while not steps:
            steps = http.get(f"/threads/{thread}/runs/{run}/steps").json()["data"]
    return {
        "file_id": file,
        "vector_store_id": store,
        "batch_id": batch,
        "assistant_id": assistant,
        "thread_id": thread,
        "run_id": run,
        "message_id": message,
        "step_id": steps[0]["id"],
    }


def with_ids(ids: dict[str, str]) -> dict:
    """The document with these ids in paths and bodies, and without DELETE."""
    changed = copy.deepcopy(document())
    for schema in changed["components"]["schemas"].values():
        _put_ids(schema, {**ids, "file_ids": ids["file_id"], "vector_store_ids": ids["vector_store_id"]})
    for methods in changed["paths"].values():
        methods.pop("delete", None)
        for operation in methods.values():
            for parameter in operation.get("parameters", ()) if isinstance(operation, dict) else ():
                if parameter.get("in") == "path" and parameter["name"] in ids:
                    parameter["schema"] = {"type": "string", "enum": [ids[parameter["name"]]]}
    return changed


def _put_ids(schema: object, ids: dict[str, str]) -> None:
    """Puts the ids into each property that is called like one of them, at any depth."""
    if isinstance(schema, list):
        for item in schema:
            _put_ids(item, ids)
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    for name in ids.keys() & (properties.keys() if isinstance(properties, dict) else ()):
        (properties[name].get("items") or properties[name])["enum"] = [ids[name]]
    for inner in schema.values():
        _put_ids(inner, ids)


def ask(command: str, schema: dict, url: str, examples: int) -> None:
    """One pass of schemathesis."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "openapi.yaml"
        path.write_text(yaml.safe_dump(schema), encoding="utf-8")
        options = ["--checks", "not_a_server_error", "--max-examples", str(examples), "--continue-on-failure"]
        options += ["--phases", "examples,coverage,fuzzing", "--warnings", "off", "--seed", "1"]
        options += ["--suppress-health-check", "all", "--request-timeout", "30"]
        subprocess.run([command, "run", str(path), "--url", url, *options], cwd=directory, check=False)


def main(examples: int) -> int:
    """Both passes, and what came of them."""
    command = shutil.which("schemathesis")
    if command is None:
        print("schemathesis is not installed: pip install 'rx_assistant[fuzz]'")
        return 1
    logging.getLogger("rx_assistant.local").setLevel(logging.ERROR)
    counting = Counting(rx_assistant.local.app())
    with serving(counting) as url:
        ask(command, document(), url, examples)
        counting.keeping = True
        ask(command, with_ids(existing(url)), url, examples)
    found = counting.by_operation()
    for (method, path), counts in sorted(found.items(), key=lambda row: row[0][1]):
        print(f"{method:6} {path:64} {dict(sorted(counts.items()))}")
    broken = sum(count for (_, _, status), count in counting.statuses.items() if status >= 500)
    total = sum(counting.statuses.values())
    asked = sum(bool(counts) for counts in found.values())
    good = sum(any(status < 300 for status in counts) for counts in found.values())
    print(f"{total:,} requests; {asked} of {len(found)} operations asked, {good} with success; {broken} x 5xx")
    return int(broken > 0 or asked < len(found))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
