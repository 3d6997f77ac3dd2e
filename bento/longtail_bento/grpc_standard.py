"""The services that every gRPC tool knows: health, where SERVING means that an inference just went through; reflection.

Neither asks for a key: health is for whoever watches, reflection says what /docs.json says.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from longtail_bento.grpc_call import Call, Context, parsed
from longtail_bento.readiness import Ready

_WATCH_EVERY_S = 1.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def health_handler(ready: Ready, services: tuple[str, ...]) -> grpc.GenericRpcHandler:
    """Serve ``grpc.health.v1.Health`` for the whole server and each of its services.

    Args:
        ready: Says whether an inference just went through.
        services: Full names.
    """

    async def status_of(service: str) -> int:
        if service not in ("", *services):
            return int(_UNKNOWN)
        return int(_SERVING if await ready() else _NOT_SERVING)

    async def check(raw: bytes, context: Context) -> bytes:
        async with Call(health.SERVICE_NAME, "Check", context, len(raw)) as call:
            status = await status_of(parsed(health_pb2.HealthCheckRequest, raw).service)
        await call.end()
        if status == _UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return bytes(health_pb2.HealthCheckResponse(status=status).SerializeToString())

    async def watch(raw: bytes, context: Context) -> AsyncIterator[bytes]:
        async with Call(health.SERVICE_NAME, "Watch", context, len(raw)) as call:
            service = parsed(health_pb2.HealthCheckRequest, raw).service
            told = None
            while True:
                status = await status_of(service)
                if status != told:
                    yield health_pb2.HealthCheckResponse(status=status).SerializeToString()
                    told = status
                await asyncio.sleep(_WATCH_EVERY_S)
        await call.end()

    return grpc.method_handlers_generic_handler(
        health.SERVICE_NAME,
        {
            "Check": grpc.unary_unary_rpc_method_handler(check),
            "Watch": grpc.unary_stream_rpc_method_handler(watch),
        },
    )


def reflection_handler(services: tuple[str, ...]) -> grpc.GenericRpcHandler:
    """Serve reflection, so that grpcurl and its like need no proto file."""
    servicer = reflection.aio.ReflectionServicer((*services, health.SERVICE_NAME, reflection.SERVICE_NAME))

    async def info(raw: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async with Call(reflection.SERVICE_NAME, "ServerReflectionInfo", context) as call:

            async def requests() -> AsyncIterator[Message]:
                async for each in raw:
                    yield parsed(reflection_pb2.ServerReflectionRequest, each)

            async for response in servicer.ServerReflectionInfo(requests(), context):
                yield response.SerializeToString()
        await call.end()

    return grpc.method_handlers_generic_handler(
        reflection.SERVICE_NAME, {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(info)}
    )
