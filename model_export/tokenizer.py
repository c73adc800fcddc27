"""CLIP's tokenizer as a TensorFlow graph: prompt strings in, 77 token ids out.

Gives the same ids as keras_cv's `SimpleTokenizer`, on every prompt that it accepts. Uses only core
TensorFlow ops, so any TensorFlow server can run it. The Unicode and HTML rules are the exporting
Python's, stored as tables (see `unicode_tables`).

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from model_export.prompt_cleaning import SEPARATOR, HtmlUnescape, LowerCase, int_table
from model_export.spec import MAX_PROMPT_BYTES, MAX_PROMPT_TOKENS
from model_export.unicode_tables import re2_class, unicode_tables
from model_export.vocabulary import (
    BYTE_SYMBOLS,
    END_OF_TEXT,
    FIRST_MERGE_ID,
    SPECIAL_TOKENS,
    START_OF_TEXT,
    Vocabulary,
    vocabulary,
)

_NO_MERGE = 1 << 40
_PAIR_SHIFT = 1 << 16
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


class Tokens(NamedTuple):
    """tokens int32 [B, 77]; prompt_tokens int32 [B], before truncation; truncated bool [B]."""

    tokens: tf.Tensor
    prompt_tokens: tf.Tensor
    truncated: tf.Tensor


class ClipTokenizer(tf.Module):
    """Call it with prompts string [B]; a row's tokens do not depend on the other rows.

    A prompt is truncated at MAX_PROMPT_BYTES, between characters, and then at 77 tokens, keeping
    the end token; either sets `truncated`. Invalid UTF-8 reads as U+FFFD, as in Python's
    decode("utf-8", "replace"). A numeric character reference too long for Python's int() (more
    than 4,300 digits) makes keras_cv raise; here it is U+FFFD like any other above U+10FFFF.
    """

    def __init__(self) -> None:
        super().__init__()
        tables = unicode_tables()
        self._clean = HtmlUnescape(tables)
        self._lower = LowerCase(tables)
        self._bpe = _BytePairEncoding(vocabulary())
        spaces = re2_class(tables.spaces)
        self._strip_pattern = f"^[{spaces}]+|[{spaces}]+$".encode()
        self._separators_pattern = f"[{re2_class(tables.separators)}]+".encode()
        special = [token.replace("|", r"\|") for token in SPECIAL_TOKENS]
        letters, numbers, others = map(re2_class, (tables.letters, tables.numbers, tables.others))
        self._word_pattern = (
            f"((?i:{'|'.join([*special, *_CONTRACTIONS])})|[{letters}]+|[{numbers}]|[{others}]+)"
        ).encode()

    def __call__(self, prompts: tf.Tensor) -> Tokens:
        text, cut = _cut_bytes(prompts)
        ids = self.encode(text)
        count = tf.cast(ids.row_lengths(), tf.int32) + 2
        body = ids[:, : MAX_PROMPT_TOKENS - 2].to_tensor(
            END_OF_TEXT, shape=[None, MAX_PROMPT_TOKENS - 1]
        )
        start = tf.fill([tf.shape(body)[0], 1], tf.constant(START_OF_TEXT, tf.int64))
        tokens = tf.cast(tf.concat([start, body], axis=1), tf.int32)
        return Tokens(tokens, count, cut | (count > MAX_PROMPT_TOKENS))

    def encode(self, prompts: tf.Tensor) -> tf.RaggedTensor:
        """string [B] → int64 [B, (tokens)], without start and end token, uncut."""
        text = tf.strings.unicode_transcode(prompts, "UTF-8", "UTF-8", errors="replace")
        text = self._clean(self._clean(text))
        text = tf.strings.regex_replace(text, self._strip_pattern, b"")
        text = self._lower(text)
        text = tf.strings.regex_replace(text, self._separators_pattern, SEPARATOR)
        # RE2 prefers the leftmost alternative, as Python does, so marking all matches is findall.
        text = tf.strings.regex_replace(text, self._word_pattern, SEPARATOR + rb"\1" + SEPARATOR)
        pieces = tf.strings.split(text, SEPARATOR)
        return self._bpe(tf.ragged.boolean_mask(pieces, pieces != b""))


def _cut_bytes(prompts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """At most MAX_PROMPT_BYTES of each prompt, in whole characters, and whether it was cut."""
    # A UTF-8 character has at most three continuation bytes, so one of the four bytes up to
    # and including the first that does not fit begins a character, if the prompt is UTF-8.
    window = 4
    length = tf.strings.length(prompts)
    cut = length > MAX_PROMPT_BYTES
    start = tf.minimum(length, MAX_PROMPT_BYTES + 1 - window)
    tail = tf.strings.substr(prompts, start, tf.fill(tf.shape(length), window))
    tail_bytes = tf.io.decode_raw(tail, tf.uint8, fixed_length=window)
    begins = tf.not_equal(tf.bitwise.bitwise_and(tail_bytes, 0xC0), 0x80)
    last = tf.reduce_max(tf.where(begins, tf.range(window), -1), axis=1)
    keep = tf.where(last >= 0, MAX_PROMPT_BYTES + 1 - window + last, MAX_PROMPT_BYTES)
    return tf.strings.substr(prompts, tf.zeros_like(length), tf.where(cut, keep, length)), cut


class _BytePairEncoding(tf.Module):
    """Words string [B, (words)] → token ids int64 [B, (tokens)].

    All words are concatenated in one flat row of symbols, so memory is linear in the text, however
    long the longest word is. Each iteration merges, in every word, all occurrences of that word's
    lowest-ranked pair, as the reference does one word at a time.
    """

    def __init__(self, words: Vocabulary) -> None:
        super().__init__()
        self._byte_ids = np.array(words.byte_ids, np.int64)
        keys = [left * _PAIR_SHIFT + right for left, right in words.merges]
        self._ranks = int_table(keys, list(range(len(keys))), default=_NO_MERGE)

    def __call__(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        symbols, word = self._symbols(words.flat_values)
        symbols, word, _ = tf.while_loop(
            lambda symbols, word, ranks: tf.reduce_any(ranks < _NO_MERGE),
            self._join_lowest,
            (symbols, word, self._pair_ranks(symbols, word)),
            shape_invariants=(tf.TensorShape([None]),) * 3,
            parallel_iterations=1,
        )
        row = tf.gather(words.value_rowids(), word)
        return tf.RaggedTensor.from_value_rowids(  # pyright: ignore[reportAttributeAccessIssue]
            symbols, row, nrows=words.nrows()
        )

    def _symbols(self, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The symbols of all words, flat, and the index of the word that each belongs to."""
        special = {
            token: tf.equal(words, token.encode()) for token in SPECIAL_TOKENS
        }  # one symbol each, however many bytes they have
        for is_token in special.values():
            words = tf.where(is_token, b"?", words)
        length = tf.strings.length(words)
        word = tf.repeat(tf.range(tf.size(words)), length)
        text = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        symbols = tf.gather(tf.constant(self._byte_ids), tf.cast(text, tf.int32))
        ends_word = tf.concat([word[1:] != word[:-1], tf.ones_like(word[:1], tf.bool)], axis=0)
        symbols = tf.where(ends_word, symbols + BYTE_SYMBOLS, symbols)
        for token, is_token in special.items():
            token_id = tf.constant(SPECIAL_TOKENS[token], tf.int64)
            symbols = tf.where(tf.gather(is_token, word), token_id, symbols)
        return symbols, word

    def _pair_ranks(self, symbols: tf.Tensor, word: tf.Tensor) -> tf.Tensor:
        """The rank of the merge of symbols i and i + 1, or _NO_MERGE: int64 [symbols - 1]."""
        ranks = self._ranks.lookup(symbols[:-1] * _PAIR_SHIFT + symbols[1:])
        return tf.where(word[:-1] == word[1:], ranks, tf.constant(_NO_MERGE, tf.int64))

    def _join_lowest(
        self, symbols: tf.Tensor, word: tf.Tensor, ranks: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        pair_word = word[:-1]
        lowest = tf.gather(tf.math.segment_min(ranks, pair_word), pair_word)
        match = (ranks == lowest) & (ranks < _NO_MERGE)
        # Matches overlap only in runs like "aaa"; from the left, every second one is merged.
        index = tf.range(tf.size(match))
        begins_run = match & tf.logical_not(
            tf.concat([tf.zeros_like(match[:1]), match[:-1]], axis=0)
        )
        run = tf.cumsum(tf.cast(begins_run, tf.int32)) - 1
        run_start = tf.gather(tf.boolean_mask(index, begins_run), tf.maximum(run, 0))
        joined = match & ((index - run_start) % 2 == 0)
        nothing = tf.zeros([1], tf.bool)
        symbols = tf.where(
            tf.concat([joined, nothing], axis=0),
            tf.concat([ranks, tf.zeros([1], tf.int64)], axis=0) + FIRST_MERGE_ID,
            symbols,
        )
        kept = tf.logical_not(tf.concat([nothing, joined], axis=0))
        symbols, word = tf.boolean_mask(symbols, kept), tf.boolean_mask(word, kept)
        return symbols, word, self._pair_ranks(symbols, word)
