"""Where Triton is and how it is called: explicit argument, then ``LONGTAIL_*``, then the default."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """Read once at the edge of a process and passed inwards."""

    model_config = SettingsConfigDict(env_prefix="LONGTAIL_", frozen=True, extra="ignore")

    triton_grpc: str = Field(
        default="127.0.0.1:8001",
        description="Triton's gRPC endpoint as host:port. Another host costs a hop a stage, and frees this one.",
    )
    encode_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds an encoder call may take that says no time of its own, as in an export. "
        "Less fails sooner when Triton hangs; more survives queues.",
    )
    generate_timeout_s: float = Field(
        default=8.0,
        gt=0,
        description="Seconds one generation may take that says no time of its own; requests say theirs. "
        "Less fails sooner; more waits.",
    )
