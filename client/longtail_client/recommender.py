"""The Python client: `Recommender` and `AsyncRecommender`, over HTTP or gRPC by the URL.

    with Recommender("http://127.0.0.1:3000") as longtail:  # or grpc://127.0.0.1:3001
        answer = longtail.recommend(user_id="196", k=3)
        print(answer.items[0].title)

Each row of the API is a method; what it takes and gives is in `calls.py`. Whatever carries it, what comes is the same.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, closing
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from longtail_client import calls
from longtail_client.calls import Call
from longtail_client.errors import InvalidRequest, LongtailError
from longtail_client.retry import Patience, Tries

P = ParamSpec("P")
T = TypeVar("T")


class _BlockingDoor(Protocol):
    def send(self, call: Call[Any], fields: dict[str, object], timeout_s: float) -> Any: ...
    def stream(self, call: Call[Any], fields: dict[str, object], timeout_s: float) -> Generator[Any, None, None]: ...
    def ready(self, timeout_s: float) -> bool: ...
    def close(self) -> None: ...


class _AsyncDoor(Protocol):
    async def send(self, call: Call[Any], fields: dict[str, object], timeout_s: float) -> Any: ...
    def stream(self, call: Call[Any], fields: dict[str, object], timeout_s: float) -> AsyncGenerator[Any, None]: ...
    async def ready(self, timeout_s: float) -> bool: ...
    async def close(self) -> None: ...


def _blocking(make: Callable[P, Call[T]]) -> Callable[Concatenate[Recommender, P], T]:
    @wraps(make)
    def method(self: Recommender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._answer(make(*args, **kwargs))

    return _signed(method, make)


def _streamed(make: Callable[P, Call[T]]) -> Callable[Concatenate[Recommender, P], Generator[T, None, None]]:
    @wraps(make)
    def method(self: Recommender, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return self._events(make(*args, **kwargs))

    return _signed(method, make)


def _awaited(make: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncRecommender, P], Awaitable[T]]:
    @wraps(make)
    async def method(self: AsyncRecommender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._answer(make(*args, **kwargs))

    return _signed(method, make)


def _async_streamed(make: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncRecommender, P], AsyncGenerator[T, None]]:
    @wraps(make)
    def method(self: AsyncRecommender, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        return self._events(make(*args, **kwargs))

    return _signed(method, make)


def _signed(method: Callable[P, T], make: Callable[..., Call[Any]]) -> Callable[P, T]:
    """Let `help` and editors see the fields of a call as those of the method."""
    signature = inspect.signature(make)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[itself, *signature.parameters.values()],
        return_annotation=str(signature.return_annotation).removeprefix("Call[").removesuffix("]"),
    )
    return method


class Recommender:
    """A client with blocking calls; use it from as many threads as you like.

    Args:
        url: ``http://host:port``, ``https://…``, ``grpc://host:port``, or ``grpcs://…`` for gRPC behind TLS.
        api_key: The service's key, where it asks for one.
        timeout_s: Seconds that one try of a call may take where the call has no ``deadline_ms``.
        max_tries: Tries of one call while the service is overloaded or away; 1 never tries again.

    Raises:
        InvalidRequest: The URL is none of these.
    """

    def __init__(self, url: str, api_key: str | None = None, *, timeout_s: float = 70.0, max_tries: int = 3) -> None:
        self._door: _BlockingDoor
        if _is_grpc(url):
            from longtail_client.grpc_door import BlockingGrpc

            self._door = BlockingGrpc(url, api_key)
        else:
            from longtail_client.http_door import BlockingHttp

            self._door = BlockingHttp(url, api_key)
        self._patience = Patience(timeout_s, max_tries)

    recommend = _blocking(calls.recommend)
    recommend_stream = _streamed(calls.recommend_stream)
    describe = _blocking(calls.describe)
    encode = _blocking(calls.encode)
    search = _blocking(calls.search)
    record_interactions = _blocking(calls.record_interactions)
    list_interactions = _blocking(calls.list_interactions)
    delete_interactions = _blocking(calls.delete_interactions)
    release = _blocking(calls.release)

    def ready(self) -> bool:
        """Ask whether the service answers: whether an inference just went through.

        Raises:
            Unavailable: Nothing answers at all.
        """
        return self._door.ready(self._patience.timeout_s)

    def close(self) -> None:
        """Give the connections back."""
        self._door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, call: Call[T]) -> T:
        tries = Tries(call, self._patience)
        while True:
            fields, timeout_s = tries.next()
            try:
                return call.answer(self._door.send(call, fields, timeout_s))
            except LongtailError as error:
                pause_s = tries.pause_s(error)
            time.sleep(pause_s)

    def _events(self, call: Call[T]) -> Generator[T, None, None]:
        tries = Tries(call, self._patience)
        begun = False
        while True:
            fields, timeout_s = tries.next()
            try:
                with closing(self._door.stream(call, fields, timeout_s)) as events:
                    for event in events:
                        begun = True
                        yield call.answer(event)
                return
            except LongtailError as error:
                if begun:
                    raise
                pause_s = tries.pause_s(error)
            time.sleep(pause_s)


class AsyncRecommender:
    """The same without blocking; see `Recommender` for what it takes and raises."""

    def __init__(self, url: str, api_key: str | None = None, *, timeout_s: float = 70.0, max_tries: int = 3) -> None:
        self._door: _AsyncDoor
        if _is_grpc(url):
            from longtail_client.grpc_door import AsyncGrpc

            self._door = AsyncGrpc(url, api_key)
        else:
            from longtail_client.http_door import AsyncHttp

            self._door = AsyncHttp(url, api_key)
        self._patience = Patience(timeout_s, max_tries)

    recommend = _awaited(calls.recommend)
    recommend_stream = _async_streamed(calls.recommend_stream)
    describe = _awaited(calls.describe)
    encode = _awaited(calls.encode)
    search = _awaited(calls.search)
    record_interactions = _awaited(calls.record_interactions)
    list_interactions = _awaited(calls.list_interactions)
    delete_interactions = _awaited(calls.delete_interactions)
    release = _awaited(calls.release)

    async def ready(self) -> bool:
        """See `Recommender.ready`."""
        return await self._door.ready(self._patience.timeout_s)

    async def close(self) -> None:
        """Give the connections back."""
        await self._door.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _answer(self, call: Call[T]) -> T:
        tries = Tries(call, self._patience)
        while True:
            fields, timeout_s = tries.next()
            try:
                return call.answer(await self._door.send(call, fields, timeout_s))
            except LongtailError as error:
                pause_s = tries.pause_s(error)
            await asyncio.sleep(pause_s)

    async def _events(self, call: Call[T]) -> AsyncGenerator[T, None]:
        tries = Tries(call, self._patience)
        begun = False
        while True:
            fields, timeout_s = tries.next()
            try:
                async with aclosing(self._door.stream(call, fields, timeout_s)) as events:
                    async for event in events:
                        begun = True
                        yield call.answer(event)
                return
            except LongtailError as error:
                if begun:
                    raise
                pause_s = tries.pause_s(error)
            await asyncio.sleep(pause_s)


def _is_grpc(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "grpc", "grpcs") or not parts.netloc:
        raise InvalidRequest(
            f"url: expected http://, https://, grpc:// or grpcs:// and a host, got '{url}'", field="url"
        )
    return parts.scheme.startswith("grpc")
