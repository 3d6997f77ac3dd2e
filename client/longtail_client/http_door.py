"""Calls over HTTP: a call in, the answer's JSON out, blocking or not."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from longtail_client.calls import Call
from longtail_client.errors import DeadlineExceeded, InvalidRequest, LongtailError, Unavailable
from longtail_client.problem import error_of


class BlockingHttp:
    """Carries calls with blocking I/O.

    Args:
        url: The service, ``http://…`` or ``https://…``.
        api_key: Sent as a bearer token.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url = url
        self._client = httpx.Client(base_url=url, headers=_standing_headers(api_key))

    def send(self, call: Call[Any], fields: Mapping[str, Any], timeout_s: float) -> Any:
        """Make one call once."""
        with _translated(self._url):
            response = self._client.send(_request(self._client, call, fields, timeout_s))
        return _document(self._url, response)

    def stream(self, call: Call[Any], fields: Mapping[str, Any], timeout_s: float) -> Generator[Any, None, None]:
        """Make one call once, and yield each event as ``{name: fields}``."""
        with _translated(self._url):
            response = self._client.send(_request(self._client, call, fields, timeout_s), stream=True)
            try:
                if not response.is_success:
                    response.read()
                    _document(self._url, response)
                reader = _EventReader()
                for line in response.iter_lines():
                    yield from reader.read(line)
                reader.end(self._url)
            finally:
                response.close()

    def ready(self, timeout_s: float) -> bool:
        """Ask whether an inference just went through."""
        with _translated(self._url):
            return self._client.get("/readyz", timeout=timeout_s).is_success

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


class AsyncHttp:
    """The same without blocking."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url = url
        self._client = httpx.AsyncClient(base_url=url, headers=_standing_headers(api_key))

    async def send(self, call: Call[Any], fields: Mapping[str, Any], timeout_s: float) -> Any:
        """See `BlockingHttp.send`."""
        with _translated(self._url):
            response = await self._client.send(_request(self._client, call, fields, timeout_s))
        return _document(self._url, response)

    async def stream(self, call: Call[Any], fields: Mapping[str, Any], timeout_s: float) -> AsyncGenerator[Any, None]:
        """See `BlockingHttp.stream`."""
        with _translated(self._url):
            response = await self._client.send(_request(self._client, call, fields, timeout_s), stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                    _document(self._url, response)
                reader = _EventReader()
                async for line in response.aiter_lines():
                    for event in reader.read(line):
                        yield event
                reader.end(self._url)
            finally:
                await response.aclose()

    async def ready(self, timeout_s: float) -> bool:
        """See `BlockingHttp.ready`."""
        with _translated(self._url):
            return (await self._client.get("/readyz", timeout=timeout_s)).is_success

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


class _EventReader:
    """Puts server-sent events together from lines.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []
        self._ended = False

    def read(self, line: str) -> Iterator[Any]:
        """Take one line in; yield the event that it completes.

        Raises:
            LongtailError: The event tells of an error.
        """
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif not line and self._data:
            event, fields = self._name, json.loads("\n".join(self._data))
            self._name, self._data = "", []
            if event == "error":
                raise error_of(fields, status=int(fields.get("status", 500)))
            self._ended = event == "done"
            yield {event: fields}

    def end(self, url: str) -> None:
        """Say that no line follows.

        Raises:
            Unavailable: The stream broke off before its last event.
        """
        if not self._ended:
            raise Unavailable(f"the stream from {url} broke off before its last event", retry_after_s=0.0)


def _standing_headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"authorization": f"Bearer {api_key}"}


def _request(
    client: httpx.Client | httpx.AsyncClient, call: Call[Any], fields: Mapping[str, Any], timeout_s: float
) -> httpx.Request:
    headers = {} if call.request_id is None else {"x-request-id": call.request_id}
    if call.http_method == "POST":
        try:
            return client.build_request("POST", call.path, json=fields, headers=headers, timeout=timeout_s)
        except (
            TypeError,
            ValueError,
            RecursionError,
        ) as error:  # no JSON says it: NaN, half a character, an object of a program
            raise InvalidRequest(f"body: expected what JSON can carry, got {error}", field="body") from error
    named, query = {}, {}
    for name, value in fields.items():
        if f"{{{name}}}" in call.path:
            try:
                # dots alone would be taken for steps in the path, encoded once or not
                named[name] = quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")
            except (AttributeError, TypeError, ValueError) as error:
                raise InvalidRequest(f"{name}: expected a text, got {error}", field=name) from error
        else:
            query[name] = value
    path = call.path.format(**named)
    return client.build_request(call.http_method, path, params=query, headers=headers, timeout=timeout_s)


def _document(url: str, response: httpx.Response) -> Any:
    """Read an answer.

    Raises:
        LongtailError: It is a problem, or no JSON.
    """
    try:
        document = response.json()
    except ValueError:
        document = {"detail": f"{url} answered {response.status_code}: {response.text[:300]}"}
        if response.is_success:
            raise LongtailError(f"expected JSON from {url}, got {response.text[:300]!r}") from None
    if response.is_success:
        return document
    pause = response.headers.get("retry-after", "")
    raise error_of(
        document if isinstance(document, dict) else {},
        status=response.status_code,
        retry_after_s=float(pause) if pause.isdecimal() else None,
    )


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what httpx raises into what longtail raises."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise Unavailable(f"nothing answers at {url} in time; start it with `longtail up`") from error
    except httpx.TimeoutException as error:
        raise DeadlineExceeded(f"{url} did not answer in time") from error
    except httpx.TransportError as error:
        raise Unavailable(
            f"nothing answers at {url} ({error}); start it with `longtail up`", retry_after_s=0.0
        ) from error
