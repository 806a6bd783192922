"""A producer as a process of its own, to be killed: it starts a run and publishes it.

python tests/relay/relay_producer.py REDIS_URL PREFIX KEY LEASE BASE_URL ASSISTANT THREAD
"""

from __future__ import annotations

import sys

from rx_assistant import AssistantClient
from rx_assistant.relay import RedisRelay


def main(url: str, prefix: str, key: str, lease: str, base_url: str, assistant: str, thread: str) -> None:
    """Publish one run from its first event to its last."""
    with RedisRelay(url, prefix=prefix, lease=float(lease)) as relay, AssistantClient(base_url=base_url) as client:
        with client.threads.runs.stream(thread_id=thread, assistant_id=assistant) as stream:
            publication = relay.publish(stream, key)
            stream.until_done()
        publication.wait(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
