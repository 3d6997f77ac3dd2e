"""Where the service finds things and what it allows: explicit argument, then ``LONGTAIL_*``, then the default."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from longtail_client.settings import ClientSettings

MAX_DESCRIPTION_CACHE_AGE_S = 7 * 86_400.0
"""So long every process is told of a user who was deleted; nothing of theirs may be kept for longer."""


class ServiceSettings(ClientSettings):
    """Read once when a process starts and passed inwards."""

    var: Path = Field(
        default=Path("var"),
        description="Folder of catalogues, releases and the database. A faster disk starts faster.",
    )
    model_repository: Path = Field(
        default=Path("model_repository"),
        description="Triton's model repository; the service reads the encoder's tokenizer from it.",
    )
    database_url: str | None = Field(
        default=None,
        description="URL of the interactions: `sqlite:///path` or `postgresql://user:password@host/name`. The default, "
        "SQLite in `var`, serves one machine.",
    )
    release: str | None = Field(
        default=None,
        description="Release to serve; the default is the live one. A fixed name no longer follows the live pointer.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address the service listens on. Anything but loopback opens it to others.",
    )
    api_keys: SecretStr | None = Field(
        default=None,
        description="Keys that callers may show, separated by commas, each of at least 16 characters. Two at a time "
        "let a key be replaced without a gap. Without any, only loopback is served.",
    )
    cors_origins: str | None = Field(
        default=None,
        description="Origins whose pages in a browser may call the service, separated by commas; none by default. "
        "A key that a page holds is known to whoever opens it.",
    )
    port: int = Field(default=3000, ge=1, le=65535, description="HTTP port of the service.")
    grpc_port: int = Field(
        default=3001, ge=0, le=65535, description="gRPC port of the service, on the same address; 0 takes a free one."
    )
    workers: int = Field(
        default=1,
        ge=1,
        description="Service processes. Each holds the catalogue's vectors; more use more cores and more memory.",
    )
    triton_http_port: int = Field(default=8000, ge=1, le=65535, description="Triton's HTTP port, on loopback.")
    triton_grpc_port: int = Field(default=8001, ge=1, le=65535, description="Triton's gRPC port, on loopback.")
    triton_metrics_port: int = Field(default=8002, ge=1, le=65535, description="Triton's metrics port, on loopback.")
    triton_admin_key: SecretStr | None = Field(
        default=None,
        description="Key of Triton's model control; `longtail up` makes one at each start. Without it only those "
        "versions can be served that Triton loads of its own accord.",
    )
    profile: str = Field(
        default="cpu",
        pattern="^(cpu|gpu)$",
        description="Which `configs/<profile>.pbtxt` Triton takes: cpu runs anywhere, gpu needs CUDA.",
    )
    start_timeout_s: float = Field(
        default=180.0,
        gt=0,
        description="Seconds Triton and the service may take until an inference works. Large models want more.",
    )
    max_in_flight: int = Field(
        default=64,
        ge=1,
        description="Requests that a worker answers at one time; more are told to come back. Fewer keep answers fast "
        "under load, more refuse fewer.",
    )
    access_log: bool = Field(
        default=True,
        description="Whether each request writes a line of JSON to standard output.",
    )
    max_body_bytes: int = Field(
        default=1_000_000,
        ge=1024,
        description="Longest request body that is read. More admits longer histories, and costs memory a request.",
    )
    max_interactions_bytes: int = Field(
        default=8_000_000,
        ge=1024,
        description="The same for a body of interactions, of which one request may bring 10,000.",
    )
    body_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds that a request body may take to come. More serves slower lines; fewer holds less for "
        "those who never finish.",
    )
    default_deadline_ms: int = Field(
        default=10_000,
        ge=100,
        le=60_000,
        description="Milliseconds an answer may take when the caller sets none.",
    )

    description_cache_size: int = Field(
        default=4096,
        ge=0,
        description="Sets of descriptions that a process keeps for each release. More answer more often without the "
        "generator, and cost about a kilobyte each.",
    )
    description_cache_age_s: float = Field(
        default=3600.0,
        gt=0,
        le=MAX_DESCRIPTION_CACHE_AGE_S,
        description="Seconds that descriptions are kept. Longer bridges longer absences of the generator, and costs "
        "memory.",
    )
    bulk_generations: int = Field(
        default=2,
        ge=1,
        description="Generations for requests of priority bulk that a process has running at a time. More finishes "
        "bulk work sooner, and slows those whom somebody waits for.",
    )
    shadow_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Part of the requests that the shadow release answers too. Less costs the models less.",
    )
    fingerprint_every_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds between two comparisons of Triton's vectors with the index's. Each embeds 96 probes.",
    )

    @property
    def interactions_url(self) -> str:
        """The database's URL, the default filled in."""
        return self.database_url or f"sqlite:///{(self.var / 'longtail.db').absolute()}"

    @property
    def url(self) -> str:
        """The service's HTTP door, as a process of this machine reaches it."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nobody listens on what these addresses name
        host = anywhere.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def as_environment(self) -> dict[str, str]:
        """Write the settings as the variables that another longtail process reads, its client's URL included."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values["var"] = self.var.absolute()
        values["model_repository"] = self.model_repository.absolute()
        values["triton_grpc"] = f"127.0.0.1:{self.triton_grpc_port}"
        for name, value in values.items():
            if isinstance(value, SecretStr):
                values[name] = value.get_secret_value()
        variables = {f"LONGTAIL_{name.upper()}": str(value) for name, value in values.items() if value is not None}
        variables["LONGTAIL_URL"] = self.url
        if self.api_keys is not None:  # what a command shows that is run beside the service
            variables["LONGTAIL_API_KEY"] = self.api_keys.get_secret_value().split(",")[0].strip()
        return variables
