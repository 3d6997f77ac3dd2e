"""`POST /v1/embeddings` as OpenAI's clients speak it: texts in, vectors as numbers or base64 out.

Source: OpenAI's API reference, "Create embeddings".
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, field_validator

from longtail_bento.json_exact import NOT_BLANK, WHOLE
from longtail_client.contract import Matrix

LIVE = "longtail"
"""The model's name for callers that do not care which release is live."""

MAX_TEXTS = 2048

_Text = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=NOT_BLANK)]


_TEXT = {"type": "string", "minLength": 1, "maxLength": 4000, "pattern": NOT_BLANK}
_INPUT = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_TEXTS}]}


class EmbeddingsRequest(BaseModel):
    """Texts to embed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    input: Annotated[list[_Text], WithJsonSchema(_INPUT)] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        description="A text or a list of texts, of at most 4,000 characters each; what exceeds 256 tokens is cut. "
        "Token ids are not taken.",
    )
    model: str = Field(
        min_length=1,
        max_length=200,
        description=f"A release in service, or `{LIVE}` for the live one. Vectors of two releases may not be compared.",
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="Numbers, or the base64 of little-endian 32-bit floats."
    )
    dimensions: Annotated[int, Field(ge=1, le=100_000), WHOLE] | None = Field(
        default=None, description="Refused unless it is what the release's encoder gives."
    )
    user: str | None = Field(default=None, max_length=200, description="Taken, and not looked at.")

    @field_validator("input", mode="before")
    @classmethod
    def _texts_and_no_tokens(cls, given: Any) -> Any:
        if given == []:
            raise ValueError("expected a text or a list of texts, got an empty list")
        one = given[0] if isinstance(given, list) and given else given
        if isinstance(one, int | list):
            raise ValueError("expected a text or a list of texts, got token ids; the encoder's tokenizer makes its own")
        return [given] if isinstance(given, str) else given


class Embedding(BaseModel):
    """One text's unit vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens that were embedded."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """One vector a text, in order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str = Field(description="The release that answered.")
    usage: Usage

    @classmethod
    def of(cls, vectors: Matrix, *, encoding_format: str, model: str, n_tokens: int) -> EmbeddingsResponse:
        """Write vectors.

        Args:
            vectors: Shape ``(n_texts, dim)``, float32.
            encoding_format: ``float`` or ``base64``.
            model: The release's name.
            n_tokens: Of all texts together.
        """
        rows = vectors.tolist() if encoding_format == "float" else [_base64(row) for row in vectors]
        return cls(
            data=[Embedding(index=index, embedding=row) for index, row in enumerate(rows)],
            model=model,
            usage=Usage(prompt_tokens=n_tokens, total_tokens=n_tokens),
        )


def _base64(vector: Matrix) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
