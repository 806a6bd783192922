"""The two clients: settings and a session, and the resources over it. They differ in their session alone.

A resource is loaded at first touch, and the wire models with it: importing the clients costs little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from typing_extensions import TypedDict, Unpack

from rx_assistant.api.request import OMIT, Omit, given
from rx_assistant.hot import AsyncBlock, SyncBlock
from rx_assistant.http.dialects import Dialect, OpenAI
from rx_assistant.http.redaction import redact
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.http.settings import (
    MAX_REPLY_BYTES,
    MAX_RETRIES,
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

if TYPE_CHECKING:
    from rx_assistant.client.assistants import Assistants, AsyncAssistants
    from rx_assistant.client.chat import AsyncChat, Chat
    from rx_assistant.client.files import AsyncFiles, Files
    from rx_assistant.client.responses import AsyncResponses, Responses
    from rx_assistant.client.threads import AsyncThreads, Threads
    from rx_assistant.client.vector_stores import AsyncVectorStores, VectorStores

S = TypeVar("S", Session, AsyncSession)


class ClientOptions(TypedDict, total=False):
    """What `with_options` changes; a value that is not given stays."""

    base_url: str
    api_key: str | AsyncToken | None
    organization: str | None
    project: str | None
    timeout: TimeoutInput
    max_retries: int
    default_headers: Headers
    default_query: Query
    dialect: Dialect
    log: LogPolicy
    max_reply_bytes: int


class _Client(Generic[S]):
    """What both clients say of themselves, and how they are changed."""

    _session: S

    @property
    def beta(self) -> Self:
        """The client itself: SDK users write `client.beta.threads`."""
        return self

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._session.settings.base_url

    @property
    def api_key(self) -> str | AsyncToken | None:
        """The key, or the function that gives it; None sends no credentials. An assigned one serves from now on."""
        return self._session.settings.api_key

    @api_key.setter
    def api_key(self, key: str | AsyncToken | None) -> None:
        self._change({"api_key": key})

    @property
    def timeout(self) -> Timeout:
        """The limits of a request, in seconds. May be assigned; a number is seconds, None sets no limits."""
        return self._session.settings.timeout

    @timeout.setter
    def timeout(self, timeout: TimeoutInput) -> None:
        self._change({"timeout": timeout})

    @property
    def max_retries(self) -> int:
        """How often a request is sent again at most."""
        return self._session.settings.max_retries

    def is_closed(self) -> bool:
        """Whether the connections are closed, so that nothing more can be sent."""
        return self._session.is_closed

    def with_options(self, **changes: Unpack[ClientOptions]) -> Self:
        """The same client with other settings, over the same connections; closing it leaves them open."""
        copy = object.__new__(type(self))
        copy._session = self._session.with_settings(_changed(self._session.settings, changes))
        return copy

    def _change(self, changes: ClientOptions) -> None:
        """Let the client itself have other settings: its resources share its session."""
        self._session.settings = self._session.with_settings(_changed(self._session.settings, changes)).settings

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={redact(self.base_url)!r})"


class AssistantClient(_Client[Session], SyncBlock):
    """The Assistants API of any server that speaks it.

    `base_url` defaults to OPENAI_BASE_URL, `api_key` to OPENAI_API_KEY; without a key no credentials are sent. The
    key may be a function that gives a token, which is called for every request. A given `http_client`, of httpx or
    httpx2, stays open when this client is closed; it brings HTTP/2, proxies, certificates and hooks of yours. Without
    one, each call has an httpx client with one connection, by the environment's proxies and certificates.

        with rx_assistant.local.serve() as server, AssistantClient(base_url=server.base_url) as client:
            assistant = client.assistants.create(model="local")

    `timeout` is seconds or a `Timeout`; by default those of the `http_client`, unless they are httpx's default of 5 s;
    else 5 s until the connection is made, 600 s without a byte. Replies that are not streams are read up to
    `max_reply_bytes`. `close()` ends every call under way. After a connection error, 408, 409, 429 or 5xx a request is
    sent again, up to `max_retries` times. `dialect` is `Azure(…)` or `Foundry(…)`. The logger `rx_assistant.http`
    reports requests at DEBUG; `log="content"` adds what they hold.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | SyncToken | None = None,
        organization: str | None = None,
        project: str | None = None,
        timeout: TimeoutInput | Omit = OMIT,
        max_retries: int = MAX_RETRIES,
        default_headers: Headers | None = None,
        default_query: Query | None = None,
        http_client: SyncHTTP | None = None,
        dialect: Dialect | None = None,
        log: LogPolicy = "requests",
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        settings = _settings(
            base_url,
            api_key,
            organization,
            project,
            timeout,
            max_retries,
            default_headers,
            default_query,
            dialect,
            log,
            max_reply_bytes,
            http_client,
        )
        self._session = Session(settings, http_client)

    @cached_property
    def assistants(self) -> Assistants:
        """Assistants: create, retrieve, update, list, delete."""
        from rx_assistant.client.assistants import Assistants

        return Assistants(self._session)

    @cached_property
    def threads(self) -> Threads:
        """Threads, and in them messages, runs and run steps."""
        from rx_assistant.client.threads import Threads

        return Threads(self._session)

    @cached_property
    def files(self) -> Files:
        """Files: upload, read, list, delete."""
        from rx_assistant.client.files import Files

        return Files(self._session)

    @cached_property
    def vector_stores(self) -> VectorStores:
        """Vector stores, and in them files and file batches; search."""
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

    def close(self) -> None:
        """End every call under way and close all connections, unless the `http_client` was given."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncAssistantClient(_Client[AsyncSession], AsyncBlock):
    """The same for asyncio and trio. The key may also be a coroutine function that gives a token.

    One client serves one event loop after the other; the connections of a loop are closed when it ends.
    `http_client=rx_assistant.aiohttp_client()` is for thousands of streams on one asyncio loop, and is closed with this
    client.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | AsyncToken | None = None,
        organization: str | None = None,
        project: str | None = None,
        timeout: TimeoutInput | Omit = OMIT,
        max_retries: int = MAX_RETRIES,
        default_headers: Headers | None = None,
        default_query: Query | None = None,
        http_client: AsyncHTTP | None = None,
        dialect: Dialect | None = None,
        log: LogPolicy = "requests",
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        settings = _settings(
            base_url,
            api_key,
            organization,
            project,
            timeout,
            max_retries,
            default_headers,
            default_query,
            dialect,
            log,
            max_reply_bytes,
            http_client,
        )
        self._session = AsyncSession(settings, http_client)

    @cached_property
    def assistants(self) -> AsyncAssistants:
        """Assistants: create, retrieve, update, list, delete."""
        from rx_assistant.client.assistants import AsyncAssistants

        return AsyncAssistants(self._session)

    @cached_property
    def threads(self) -> AsyncThreads:
        """Threads, and in them messages, runs and run steps."""
        from rx_assistant.client.threads import AsyncThreads

        return AsyncThreads(self._session)

    @cached_property
    def files(self) -> AsyncFiles:
        """Files: upload, read, list, delete."""
        from rx_assistant.client.files import AsyncFiles

        return AsyncFiles(self._session)

    @cached_property
    def vector_stores(self) -> AsyncVectorStores:
        """Vector stores, and in them files and file batches; search."""
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

    async def aclose(self) -> None:
        """Close all connections, unless the `http_client` was given."""
        await self._session.aclose()

    async def close(self) -> None:
        """`aclose()`, as SDK users call it."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _settings(
    base_url: str | None,
    api_key: str | Callable[[], object] | None,
    organization: str | None,
    project: str | None,
    timeout: TimeoutInput | Omit,
    max_retries: int,
    default_headers: Headers | None,
    default_query: Query | None,
    dialect: Dialect | None,
    log: LogPolicy,
    max_reply_bytes: int,
    http_client: SyncHTTP | AsyncHTTP | None,
) -> Settings:
    return Settings(
        base_url=base_url_or_environment(base_url),
        # mypy thinks that a str could be callable
        api_key=api_key if callable(api_key) else from_environment(api_key, "OPENAI_API_KEY"),  # type: ignore[arg-type]
        organization=from_environment(organization, "OPENAI_ORG_ID"),
        project=from_environment(project, "OPENAI_PROJECT_ID"),
        timeout=timeout_of(http_client) if isinstance(timeout, Omit) else as_timeout(timeout),
        max_retries=max_retries,
        default_headers=default_headers or {},
        default_query=default_query or {},
        dialect=dialect or OpenAI(),
        log=log,
        max_reply_bytes=max_reply_bytes,
    )


def _changed(settings: Settings, changes: ClientOptions) -> Settings:
    values: dict[str, object] = given(changes)
    if "timeout" in changes and "timeout" in values:
        values["timeout"] = as_timeout(changes["timeout"])
    return replace(settings, **values)  # type: ignore[arg-type]  # the TypedDict has checked them
