"""Tokens in, pieces of text out: what was handed over is never taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters, settled

_UNFINISHED_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class GrowingText:
    """The text of one `Running`, decoded anew as its tokens come, since a character may need several of them.

    Args:
        decode: Turns token ids into text, special tokens left out.
        sampling: Its ``stop`` strings end the text, but not within its first ``min_tokens`` tokens.

    Attributes:
        token_ids: The tokens so far.
        stopped: Whether a stop string was found.
    """

    def __init__(self, decode: Callable[[list[int]], str], sampling: SamplingParameters) -> None:
        self.token_ids: list[int] = []
        self.stopped = False
        self._decode = decode
        self._sampling = sampling
        self._stop_from = 0
        self._n_taken = 0

    def add(self, token_ids: Iterable[int]) -> None:
        """Let the text grow."""
        self.token_ids.extend(token_ids)

    def take(self, *, ended: bool) -> str:
        """Hand over what is sure and was not handed over before.

        Args:
            ended: Whether no token follows, so that nothing need be held back.
        """
        text = self._decode(self.token_ids) if self.token_ids else ""
        if len(self.token_ids) <= self._sampling.min_tokens:
            self._stop_from = len(text)
        sure, self.stopped = settled(text, self._sampling.stop, start=self._stop_from)
        if not self.stopped:
            if ended:
                sure = text
            elif sure.endswith(_UNFINISHED_CHARACTER):
                return ""
        piece = sure[self._n_taken :]
        self._n_taken = max(self._n_taken, len(sure))
        return piece
