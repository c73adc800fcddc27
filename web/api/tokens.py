"""How many tokens a prompt has, for whoever writes one: a model reads only the first ones."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from model_export.token_count import token_count
from prediction.errors import InputRefusedError
from web.api.documents import Document
from web.api.openapi import errors
from web.jobs.refusals import Reason, refused
from web.service import Service

PATH = "/api/v1/tokens"


class TokensRequest(Document):
    """A prompt, or a negative one."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)

    prompt: Annotated[str, Field(examples=["a small red circle on white"])]


class TokensDocument(Document):
    """tokens: as a picture's `promptTokens`, the start and the end included."""

    tokens: int
    max_tokens: Annotated[int, Field(description="So many are read, the two included")]
    truncated: Annotated[bool, Field(description="Whether the prompt has more than are read")]


def router(service: Service) -> APIRouter:
    routes = APIRouter(tags=["service"])

    @routes.post(PATH, responses=errors(408, 413, 415))
    async def count_tokens(  # pyright: ignore[reportUnusedFunction]
        asked: TokensRequest,
    ) -> TokensDocument:
        """How many tokens a prompt has, by CLIP's tokenizer, without drawing it. One that the
        service would not draw is refused."""
        limits = service.models.served.limits
        try:
            limits.check_text("prompt", asked.prompt)
        except InputRefusedError as error:
            raise refused(Reason.INVALID, str(error), field=error.field) from None
        # The first call reads the vocabulary, which takes a tenth of a second.
        tokens = await asyncio.to_thread(token_count, asked.prompt)
        return TokensDocument(
            tokens=tokens,
            max_tokens=limits.max_prompt_tokens,
            truncated=tokens > limits.max_prompt_tokens,
        )

    return routes
