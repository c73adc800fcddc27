"""What CLIP's tokenizer does to a prompt before it looks for words, as TensorFlow graphs.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from model_export.unicode_tables import DROPPED, UnicodeTables

SEPARATOR = b"\xff"
"""Never part of valid UTF-8, so it can serve as a mark in decoded text."""
_NUMERIC_DIGITS = 8
_REPLACEMENT_CHARACTER = 0xFFFD
_NOT_AN_ENTITY = b"\xff"


class HtmlUnescape(tf.Module):
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
        self._numbers = int_table(list(exceptions), list(exceptions.values()), default=-2)

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        has_reference = tf.reduce_any(tf.strings.regex_full_match(text, rb"(?s).*&.*"))
        return tf.cond(has_reference, lambda: self._unescape(text), lambda: text)

    def _unescape(self, text: tf.Tensor) -> tf.Tensor:
        marked = tf.strings.regex_replace(text, self._REFERENCE, SEPARATOR + rb"\0" + SEPARATOR)
        pieces = tf.strings.split(marked, SEPARATOR)
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


class LowerCase(tf.Module):
    """`str.lower` on string [B], valid UTF-8, with the rule for a Σ at the end of a word."""

    def __init__(self, tables: UnicodeTables) -> None:
        super().__init__()
        self._lower = int_table(list(tables.lower), list(tables.lower.values()), default=-1)
        self._cased = int_set(tables.cased)
        self._case_ignorable = int_set(tables.case_ignorable)
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


def int_table(keys: list[int], values: list[int], default: int) -> tf.lookup.StaticHashTable:
    initializer = tf.lookup.KeyValueTensorInitializer(
        np.array(keys, np.int64), np.array(values, np.int64)
    )
    return tf.lookup.StaticHashTable(initializer, default)


def int_set(members: frozenset[int]) -> tf.lookup.StaticHashTable:
    """A table that maps members to 1 and everything else to 0."""
    return int_table(sorted(members), [1] * len(members), default=0)
