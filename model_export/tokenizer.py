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

from model_export.spec import MAX_PROMPT_BYTES, MAX_PROMPT_TOKENS
from model_export.unicode_tables import DROPPED, UnicodeTables, re2_class, unicode_tables
from model_export.vocabulary import (
    BYTE_SYMBOLS,
    END_OF_TEXT,
    FIRST_MERGE_ID,
    SPECIAL_TOKENS,
    START_OF_TEXT,
    Vocabulary,
    vocabulary,
)

_SEPARATOR = b"\xff"
"""Never part of valid UTF-8, so it can serve as a mark in decoded text."""
_NO_MERGE = 1 << 40
_PAIR_SHIFT = 1 << 16
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_NUMERIC_DIGITS = 8
_REPLACEMENT_CHARACTER = 0xFFFD
_NOT_AN_ENTITY = b"\xff"


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
        self._clean = _HtmlUnescape(tables)
        self._lower = _LowerCase(tables)
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
        text = tf.strings.regex_replace(text, self._separators_pattern, _SEPARATOR)
        # RE2 prefers the leftmost alternative, as Python does, so marking all matches is findall.
        text = tf.strings.regex_replace(text, self._word_pattern, _SEPARATOR + rb"\1" + _SEPARATOR)
        pieces = tf.strings.split(text, _SEPARATOR)
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


def _int_table(keys: list[int], values: list[int], default: int) -> tf.lookup.StaticHashTable:
    initializer = tf.lookup.KeyValueTensorInitializer(
        np.array(keys, np.int64), np.array(values, np.int64)
    )
    return tf.lookup.StaticHashTable(initializer, default)


def _int_set(members: frozenset[int]) -> tf.lookup.StaticHashTable:
    """A table that maps members to 1 and everything else to 0."""
    return _int_table(sorted(members), [1] * len(members), default=0)


class _HtmlUnescape(tf.Module):
    """`html.unescape` on string [B]."""

    # The pattern of Python's html module; [0-9] and the rest are ASCII there too.
    _REFERENCE = rb"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\x0c <&#;]{1,32};?)"

    def __init__(self, tables: UnicodeTables) -> None:
        super().__init__()
        names = tf.constant([name.encode() for name in tables.entities])
        texts = tf.constant([text.encode() for text in tables.entities.values()])
        self._names = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(names, texts), _NOT_AN_ENTITY
        )
        lengths = {len(name) for name in tables.entities if not name.endswith(";")}
        self._bare_name_lengths = sorted(lengths, reverse=True)
        exceptions = tables.numeric_references
        self._numbers = _int_table(list(exceptions), list(exceptions.values()), default=-2)

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        has_reference = tf.reduce_any(tf.strings.regex_full_match(text, rb"(?s).*&.*"))
        return tf.cond(has_reference, lambda: self._unescape(text), lambda: text)

    def _unescape(self, text: tf.Tensor) -> tf.Tensor:
        marked = tf.strings.regex_replace(text, self._REFERENCE, _SEPARATOR + rb"\0" + _SEPARATOR)
        pieces = tf.strings.split(marked, _SEPARATOR)
        values = pieces.flat_values
        index = tf.range(tf.size(values, out_type=tf.int64))
        index_in_row = index - tf.gather(pieces.row_splits[:-1], pieces.value_rowids())
        is_reference = index_in_row % 2 == 1
        body = tf.strings.regex_replace(tf.boolean_mask(values, is_reference), rb"^&", b"")
        meaning = tf.where(
            tf.strings.regex_full_match(body, rb"(?s)#.*"), self._numeric(body), self._named(body)
        )
        values = tf.tensor_scatter_nd_update(values, tf.where(is_reference), meaning)
        return tf.strings.reduce_join(pieces.with_flat_values(values), axis=1)

    def _named(self, body: tf.Tensor) -> tf.Tensor:
        """Replaces a whole name, else the longest known prefix, else nothing."""
        result = self._names.lookup(body)
        length = tf.strings.length(body)
        for size in self._bare_name_lengths:
            prefix = self._names.lookup(tf.strings.substr(body, 0, size))
            found = (result == _NOT_AN_ENTITY) & (prefix != _NOT_AN_ENTITY) & (length > size)
            rest = tf.strings.substr(body, tf.minimum(size, length), length)
            result = tf.where(found, tf.strings.join([prefix, rest]), result)
        return tf.where(result == _NOT_AN_ENTITY, tf.strings.join([b"&", body]), result)

    def _numeric(self, body: tf.Tensor) -> tf.Tensor:
        """`#65;` and `#x41;`. The caller ignores the result for anything else."""
        is_hex = tf.strings.regex_full_match(body, rb"(?s)#[xX].*")
        digits = tf.strings.regex_replace(body, rb"^#[xX]?0*([0-9a-fA-F]*);?$", rb"\1")
        count = tf.strings.length(digits)
        codes = tf.cast(tf.io.decode_raw(digits, tf.uint8, fixed_length=_NUMERIC_DIGITS), tf.int64)
        values = tf.where(codes >= ord("a"), codes - ord("a") + 10, codes - ord("0"))
        values = tf.where((codes >= ord("A")) & (codes < ord("a")), codes - ord("A") + 10, values)
        base = tf.where(is_hex, tf.constant(16, tf.int64), tf.constant(10, tf.int64))
        number = tf.zeros_like(base)
        for digit in range(_NUMERIC_DIGITS):
            number = tf.where(count > digit, number * base + values[:, digit], number)
        too_big = (count > _NUMERIC_DIGITS) | (number > 0x10FFFF)
        exception = self._numbers.lookup(number)
        code_point = tf.where(exception == -2, number, exception)
        code_point = tf.where(too_big, tf.constant(_REPLACEMENT_CHARACTER, tf.int64), code_point)
        character = tf.strings.unicode_encode(
            tf.cast(tf.maximum(code_point, 0), tf.int32)[:, tf.newaxis], "UTF-8"
        )
        return tf.where(code_point == DROPPED, b"", character)


class _LowerCase(tf.Module):
    """`str.lower` on string [B], valid UTF-8, with the rule for a Σ at the end of a word."""

    def __init__(self, tables: UnicodeTables) -> None:
        super().__init__()
        self._lower = _int_table(list(tables.lower), list(tables.lower.values()), default=-1)
        self._cased = _int_set(tables.cased)
        self._case_ignorable = _int_set(tables.case_ignorable)
        self._expanding = {
            character.encode(): lower.encode()
            for character, lower in tables.lower_expanding.items()
        }

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        is_ascii = tf.reduce_all(tf.strings.regex_full_match(text, rb"[\x00-\x7f]*"))
        return tf.cond(is_ascii, lambda: tf.strings.lower(text), lambda: self._unicode_lower(text))

    def _unicode_lower(self, text: tf.Tensor) -> tf.Tensor:
        for character, lower in self._expanding.items():
            text = tf.strings.regex_replace(text, character, lower)
        characters = tf.strings.unicode_decode(text, "UTF-8")
        code_points = tf.cast(characters.flat_values, tf.int64)
        lower = self._lower.lookup(code_points)
        lower = tf.where(lower >= 0, lower, code_points)
        is_final = (code_points == ord("Σ")) & self._ends_word(
            code_points, characters.value_rowids()
        )
        lower = tf.where(is_final, tf.constant(ord("ς"), tf.int64), lower)
        lowered = characters.with_flat_values(tf.cast(lower, tf.int32))
        return tf.strings.unicode_encode(lowered, "UTF-8")

    def _ends_word(self, code_points: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """Whether a cased letter precedes and none follows, skipping the case-ignorable ones."""
        counts = self._case_ignorable.lookup(code_points) == 0
        cased = tf.boolean_mask(self._cased.lookup(code_points), counts) > 0
        cased = tf.pad(cased, [[1, 1]], constant_values=False)
        row_of = tf.pad(tf.boolean_mask(row, counts), [[1, 1]], constant_values=-1)
        # With the pad in front, `before` is the index of the last counting character before each
        # position, and `after` that of the first one after it.
        before = tf.cumsum(tf.cast(counts, tf.int64), exclusive=True)
        after = before + tf.cast(counts, tf.int64) + 1
        preceded = tf.gather(cased, before) & (tf.gather(row_of, before) == row)
        followed = tf.gather(cased, after) & (tf.gather(row_of, after) == row)
        return preceded & ~followed


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
        self._ranks = _int_table(keys, list(range(len(keys))), default=_NO_MERGE)

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
