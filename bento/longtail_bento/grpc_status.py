"""A problem document in, the gRPC status that tells of it out.

The details travel as `google.rpc.Status` in ``grpc-status-details-bin``, which gRPC libraries of most languages read:
the problem itself, and what the standard has words for. The request id and the pause are in plain metadata too.

Source: AIP-193; https://grpc.io/docs/guides/error (richer error model).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from longtail_bento.status import TABLE
from longtail_client.mirror import message_of
from longtail_client.v1 import recommend_pb2

Metadata = tuple[tuple[str, str | bytes], ...]

DOMAIN = "longtail"
"""Who names the reasons in `ErrorInfo`."""

_CODES = {status.http: grpc.StatusCode[status.grpc] for status in TABLE.values()}


def code_of(document: Mapping[str, Any]) -> grpc.StatusCode:
    """Find the status code of a problem document."""
    return _CODES[document["status"]]


def trailers_of(document: Mapping[str, Any]) -> Metadata:
    """Write the trailing metadata that goes with a problem document."""
    details: list[Message] = [
        message_of(document, recommend_pb2.Problem),
        error_details_pb2.ErrorInfo(
            reason=document["type"].rpartition(":")[2].replace("-", "_").upper(), domain=DOMAIN
        ),
        error_details_pb2.RequestInfo(request_id=document["request_id"]),
    ]
    trailers: Metadata = (("x-request-id", document["request_id"]),)
    if "field" in document:
        violation = error_details_pb2.BadRequest.FieldViolation(field=document["field"], description=document["detail"])
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if (retry_after_s := document.get("retry_after_s")) is not None:
        pause = error_details_pb2.RetryInfo()
        pause.retry_delay.FromMilliseconds(math.ceil(retry_after_s * 1000))
        details.append(pause)
        trailers += (("retry-after", str(math.ceil(retry_after_s))),)
    status = status_pb2.Status(code=code_of(document).value[0], message=document["detail"])
    for detail in details:
        packed = Packed()
        packed.Pack(detail)
        status.details.append(packed)
    return (*trailers, ("grpc-status-details-bin", status.SerializeToString()))
