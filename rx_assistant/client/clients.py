"""The two clients: settings, a session, and the resources that use it. They only differ in their session.

A resource is loaded when it is first used, and the wire models with it. So importing the clients costs little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from typing_extensions import TypedDict, Unpack

from rx_assistant.api.request import Omit, given
from rx_assistant.client.signatures import spelled_out
from rx_assistant.hot import AsyncBlock, SyncBlock
from rx_assistant.http.dialects import Dialect, OpenAI
from rx_assistant.http.options import refuse_unknown
from rx_assistant.http.redaction import redact
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.http.settings import (
    AsyncToken,
    Headers,
    LogPolicy,
    Query,
    Settings,
    SyncToken,
    base_url_or_environment,
    from_environment,
)
from rx_assistant.http.timeouts import Timeout, TimeoutInput, as_timeout
from rx_assistant.http.transports import AsyncHTTP, SyncHTTP, timeout_of
from rx_assistant.streams import RunIdentity

if TYPE_CHECKING:
    from rx_assistant.client.assistants import Assistants, AsyncAssistants
    from rx_assistant.client.chat import AsyncChat, Chat
    from rx_assistant.client.conversation import AsyncConversation, Conversation
    from rx_assistant.client.files import AsyncFiles, Files
    from rx_assistant.client.params import TurnStream
    from rx_assistant.client.responses import AsyncResponses, Responses
    from rx_assistant.client.threads import AsyncThreads, Threads
    from rx_assistant.client.vector_stores import AsyncVectorStores, VectorStores
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams import AsyncBody, Body
    from rx_assistant.tools import Tools

S = TypeVar("S", Session, AsyncSession)


class ClientSettings(TypedDict, total=False):
    """The settings of both clients, except their address and key. None means the default."""

    organization: str | None
    project: str | None
    timeout: TimeoutInput | Omit
    max_retries: int
    default_headers: Headers | None
    default_query: Query | None
    dialect: Dialect | None
    log: LogPolicy
    max_reply_bytes: int


class ClientOptions(ClientSettings, total=False):
    """The settings that `with_options` changes. Missing ones stay the same."""

    base_url: str
    api_key: str | AsyncToken | None


class _Client(Generic[S]):
    """The settings of both clients, and the methods that change them."""

    _session: S

    @property
    def beta(self) -> Self:
        """The client itself, because SDK users write `client.beta.threads`."""
        return self

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._session.settings.base_url

    @property
    def api_key(self) -> str | AsyncToken | None:
        """The key, or the function that returns it. None sends no credentials. It may be assigned."""
        return self._session.settings.api_key

    @api_key.setter
    def api_key(self, key: str | AsyncToken | None) -> None:
        self._change({"api_key": key})

    @property
    def timeout(self) -> Timeout:
        """The time limits of a request. May be assigned: a Timeout, a number of seconds, or None for no limits."""
        return self._session.settings.timeout

    @timeout.setter
    def timeout(self, timeout: TimeoutInput) -> None:
        self._change({"timeout": timeout})

    @property
    def max_retries(self) -> int:
        """The largest number of retries of a request."""
        return self._session.settings.max_retries

    def is_closed(self) -> bool:
        """Whether the connections are closed, so that nothing more can be sent."""
        return self._session.is_closed

    def with_options(self, **changes: Unpack[ClientOptions]) -> Self:
        """The same client with other settings, over the same connections. Closing it leaves them open."""
        copy = object.__new__(type(self))
        copy._session = self._with(changes)
        return copy

    def _change(self, changes: ClientOptions) -> None:
        """Change the settings of this client. Its resources share its session."""
        self._session.settings = self._with(changes).settings

    def _with(self, changes: ClientOptions) -> S:
        return self._session.with_settings(replace(self._session.settings, **_values(changes)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={redact(self.base_url)!r})"


class AssistantClient(_Client[Session], SyncBlock):
    """A client for the Assistants API of any compatible server.

    `base_url` defaults to OPENAI_BASE_URL, `api_key` to OPENAI_API_KEY. Without a key, no credentials are sent. The key
    may be a function that returns a token; it is called for every request. `http_client` is your own client of httpx or
    httpx2, for HTTP/2, proxies, certificates or hooks. It stays open when this client is closed. Without it, each call
    uses an httpx client with one connection, and the environment's proxies and certificates.

        with rx_assistant.local.serve() as server, AssistantClient(base_url=server.base_url) as client:
            assistant = client.assistants.create(model="local")

    `timeout` is a number of seconds or a `Timeout`. The default is the limits of the `http_client`, unless it has
    httpx's default of 5 s; otherwise 5 s for connecting and 600 s without a byte. Replies that are not streams are read
    up to `max_reply_bytes`, 64 MiB by default. `close()` ends all active calls. After a connection error, 408, 409, 429
    or 5xx a request is sent again, up to `max_retries` times, 2 by default. `dialect` is `Azure(…)` or `Foundry(…)`.
    The logger `rx_assistant.http` reports requests at DEBUG; `log="content"` adds their bodies.
    """

    @spelled_out
    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | SyncToken | None = None,
        http_client: SyncHTTP | None = None,
        **settings: Unpack[ClientSettings],
    ) -> None:
        self._session = Session(_settings(base_url, api_key, settings, timeout_of(http_client)), http_client)

    @cached_property
    def assistants(self) -> Assistants:
        """Assistants: create, retrieve, update, list, delete."""
        from rx_assistant.client.assistants import Assistants

        return Assistants(self._session)

    @cached_property
    def threads(self) -> Threads:
        """Threads, with their messages, runs and run steps."""
        from rx_assistant.client.threads import Threads

        return Threads(self._session)

    @cached_property
    def files(self) -> Files:
        """Files: upload, read, list, delete."""
        from rx_assistant.client.files import Files

        return Files(self._session)

    @cached_property
    def vector_stores(self) -> VectorStores:
        """Vector stores, with their files and file batches; search."""
        from rx_assistant.client.vector_stores import VectorStores

        return VectorStores(self._session)

    @cached_property
    def chat(self) -> Chat:
        """Chat Completions, as streams of Assistants events."""
        from rx_assistant.client.chat import Chat

        return Chat(self._session)

    @cached_property
    def responses(self) -> Responses:
        """Responses, as streams of Assistants events."""
        from rx_assistant.client.responses import Responses

        return Responses(self._session)

    def conversation(
        self,
        assistant_id: str,
        thread_id: str | None = None,
        *,
        tools: Tools | None = None,
        **params: Unpack[TurnStream],
    ) -> Conversation:
        """Questions and answers on one thread: `ask()`, `messages`, `busy`.

        Without `thread_id` the first question makes a thread. `params` are those of `threads.runs.stream`, for every
        question. With `tools`, a ToolSet or functions, they are those of `threads.runs.stream_with_tools`.
        """
        from rx_assistant.client.conversation import Conversation

        return Conversation(self._session, assistant_id, thread_id, tools=tools, **params)

    def missing_events(self, run_id: str, thread_id: str, snapshot: RunSnapshot) -> Body:
        """The frames of a run's events after `snapshot`, by polling; a relay calls this when a producer has died."""
        from rx_assistant.client.run_events import missing_body

        return missing_body(self._session, RunIdentity(run_id, thread_id), snapshot)

    def close(self) -> None:
        """End all active calls and close all connections, except those of a given `http_client`."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncAssistantClient(_Client[AsyncSession], AsyncBlock):
    """The same for asyncio and trio.

    The key may also be a coroutine function that returns a token. A client may be used on several event loops; the
    connections of a loop are closed when it ends. `http_client=rx_assistant.aiohttp_client()` is for thousands of
    streams on one asyncio loop, and is closed with this client.
    """

    @spelled_out
    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | AsyncToken | None = None,
        http_client: AsyncHTTP | None = None,
        **settings: Unpack[ClientSettings],
    ) -> None:
        self._session = AsyncSession(_settings(base_url, api_key, settings, timeout_of(http_client)), http_client)

    @cached_property
    def assistants(self) -> AsyncAssistants:
        """Assistants: create, retrieve, update, list, delete."""
        from rx_assistant.client.assistants import AsyncAssistants

        return AsyncAssistants(self._session)

    @cached_property
    def threads(self) -> AsyncThreads:
        """Threads, with their messages, runs and run steps."""
        from rx_assistant.client.threads import AsyncThreads

        return AsyncThreads(self._session)

    @cached_property
    def files(self) -> AsyncFiles:
        """Files: upload, read, list, delete."""
        from rx_assistant.client.files import AsyncFiles

        return AsyncFiles(self._session)

    @cached_property
    def vector_stores(self) -> AsyncVectorStores:
        """Vector stores, with their files and file batches; search."""
        from rx_assistant.client.vector_stores import AsyncVectorStores

        return AsyncVectorStores(self._session)

    @cached_property
    def chat(self) -> AsyncChat:
        """Chat Completions, as streams of Assistants events."""
        from rx_assistant.client.chat import AsyncChat

        return AsyncChat(self._session)

    @cached_property
    def responses(self) -> AsyncResponses:
        """Responses, as streams of Assistants events."""
        from rx_assistant.client.responses import AsyncResponses

        return AsyncResponses(self._session)

    def conversation(
        self,
        assistant_id: str,
        thread_id: str | None = None,
        *,
        tools: Tools | None = None,
        **params: Unpack[TurnStream],
    ) -> AsyncConversation:
        """Questions and answers on one thread: `ask()`, `messages`, `busy`.

        Without `thread_id` the first question makes a thread. `params` are those of `threads.runs.stream`, for every
        question. With `tools`, a ToolSet or functions, they are those of `threads.runs.stream_with_tools`.
        """
        from rx_assistant.client.conversation import AsyncConversation

        return AsyncConversation(self._session, assistant_id, thread_id, tools=tools, **params)

    async def missing_events(self, run_id: str, thread_id: str, snapshot: RunSnapshot) -> AsyncBody:
        """The frames of a run's events after `snapshot`, by polling; a relay calls this when a producer has died."""
        from rx_assistant.client.run_events import missing_async_body

        return missing_async_body(self._session, RunIdentity(run_id, thread_id), snapshot)

    async def aclose(self) -> None:
        """Close all connections, except those of a given `http_client`."""
        await self._session.aclose()

    async def close(self) -> None:
        """`aclose()` under the SDK's name."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _settings(
    base_url: str | None, api_key: str | AsyncToken | None, options: ClientSettings, timeout: Timeout
) -> Settings:
    """The settings of a new client. Variables of the environment replace missing ones."""
    values = {"timeout": timeout, **_values(options), "base_url": base_url_or_environment(base_url)}
    values["api_key"] = api_key if callable(api_key) else from_environment(api_key, "OPENAI_API_KEY")
    values["organization"] = from_environment(values.get("organization"), "OPENAI_ORG_ID")
    values["project"] = from_environment(values.get("project"), "OPENAI_PROJECT_ID")
    return Settings(**values)


def _values(options: Mapping[str, object]) -> dict[str, Any]:
    """The settings that were given, with their defaults in the place of None. TypeError for an unknown name."""
    refuse_unknown(options, ClientOptions.__annotations__)
    values: dict[str, Any] = given(options)
    if "timeout" in values:
        values["timeout"] = as_timeout(values["timeout"])
    for name, default in (("default_headers", {}), ("default_query", {}), ("dialect", OpenAI())):
        if name in values and values[name] is None:
            values[name] = default
    return values
