"""The reference data, and the backends that asynchronous tests run on."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from reference import SHARED

# machines are noisy: how long an example takes is no claim
settings.register_profile("steady", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=2000)  # pytest --hypothesis-profile thorough
settings.load_profile("steady")


@pytest.fixture(scope="module", autouse=True)
def _leaks_are_told_where_they_arise() -> Iterator[None]:
    """What a file leaves unclosed is an error of its last test, not of some other file's in the same process.

    What was there before is hidden from the collector, so that the many tests that collect need not wait for it.
    """
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Clients of httpx and httpx2 that are made without `verify=` share one TLS context: making it takes 30 ms."""
    with ExitStack() as stack:
        for library in filter(importlib.util.find_spec, ("httpx", "httpx2")):
            module = importlib.import_module(f"{library}._transports.default")
            stack.enter_context(mock.patch.object(module, "create_ssl_context", _once(module.create_ssl_context)))
        yield


def _once(create: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    contexts: dict[object, ssl.SSLContext] = {}

    def create_ssl_context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert:
            return create(verify=verify, cert=cert, trust_env=trust_env)
        key = (trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if key not in contexts:
            contexts[key] = create(trust_env=trust_env)
        return contexts[key]

    return create_ssl_context


SLOW = (
    "house/test_typing.py",
    "local/test_local_code.py",
    "gui/test_gui_web.py",
    "cli/test_cli_chat.py",
    "local/test_local_stopping.py",
    "gui/test_gui_examples.py",
    "cli/test_cli.py",
    "client/test_client_web.py",
    "local/test_local_odd_engines.py",
    "local/test_local_documents.py",
    "client/test_client_short_streams.py",
    "http/test_http_moments.py",
    "relay/test_relay_contract.py",
    "house/test_docs.py",
    "cli/test_cli_screens.py",
    "cli/test_cli_terminal.py",
    "client/test_client_conversations.py",
    "client/test_client_faults.py",
    "local/test_local_durable.py",
    "relay/test_relay_takeover.py",
    "house/test_site.py",
    "local/test_local_moving.py",
    "local/test_local_upstream_recordings.py",
    "tools/test_tools_streams.py",
    "local/test_local_real_model.py",
    "relay/test_relay_faults.py",
    "polling/test_polling_broken.py",
    "polling/test_polling_cli.py",
    "client/test_client_streams.py",
    "local/test_local_upstream.py",
    "operators/test_operators_once.py",
    "handlers/test_handlers_laws.py",
    "house/test_package.py",
    "local/test_local_embeddings.py",
    "streams/test_streams_dialects.py",
    "cli/test_cli_contents.py",
    "handlers/test_handlers_leaving.py",
    "local/test_local_upstream_bending.py",
)
"""Files that take long: they come first, so that no core is idle while the last one runs."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config.option, "loadscopereorder"):  # xdist would begin with the files that hold the most tests
        config.option.loadscopereorder = False
    ranks = {str(config.rootpath / "tests" / name): rank for rank, name in enumerate(SLOW)}
    items.sort(key=lambda item: ranks.get(str(item.path), len(SLOW)))


def pytest_collection() -> None:
    """Almost all that collecting tests makes stays: the collector would walk through it again and again."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()


def pytest_configure() -> None:
    """A suite that was started in the background ignores Ctrl-C, and so would the programs that tests interrupt.

    Under `nohup` that holds for SIGHUP.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two workers for each core with `-n auto`: many tests wait for sockets, servers and windows."""
    return 2 * (os.cpu_count() or 1)


def pytest_sessionfinish() -> None:
    """Hide nothing from the last collection, which pytest makes."""
    gc.unfreeze()


@pytest.fixture
def shared() -> Path:
    """The folder of reference data."""
    if not SHARED.is_dir():
        pytest.skip("the reference data is not beside this checkout")
    return SHARED


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, for every asynchronous test."""
    return str(request.param)
