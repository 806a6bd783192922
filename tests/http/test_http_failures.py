"""What failures of a transport become: an error that says where the request went, and no secret."""

from __future__ import annotations

import httpx
import pytest

from rx_assistant.errors import APIConnectionError, ReadTimeoutError
from rx_assistant.http.transports import translated


def test_the_message_says_where_the_request_went_without_its_secrets() -> None:
    request = httpx.Request("POST", "https://me:secret@host:8443/v1/threads?api-key=secret")
    error = translated(httpx.ConnectError("refused", request=request), "no reply came")
    assert type(error) is APIConnectionError
    assert str(error) == "no reply came (POST https://host:8443/v1/threads): refused"
    assert error.request is request


@pytest.mark.parametrize("cause", [httpx.ReadTimeout("slow"), TimeoutError("slow"), OSError("slow")])
def test_a_failure_without_a_request_is_told_as_well(cause: Exception) -> None:
    error = translated(cause, "the reply broke off")
    assert str(error) == "the reply broke off: slow"
    assert error.request is None
    assert error.__cause__ is cause
    assert isinstance(error, ReadTimeoutError) == isinstance(cause, httpx.ReadTimeout)
