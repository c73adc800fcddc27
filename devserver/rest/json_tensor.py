"""From a predict request's JSON to arrays: TF Serving's row and column formats.

Row format, key `instances`: a list with one entry per row, a value for a model with one input or
an object with every input. Column format, key `inputs`: one value per input, batch axis included.
Messages are TF Serving's, since clients match on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from devserver.errors import ServingError, invalid_argument
from devserver.rest.json_parse import debug_text
from devserver.rest.json_value import Tensor, is_base64


class Format(Enum):
    """The two request formats; the response uses the same one."""

    ROW = "instances"
    COLUMN = "inputs"


def signature_name(document: Mapping[str, Any]) -> str:
    """The document's `signature_name`, or the empty string.

    Raises:
        ServingError: it is not a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {debug_text(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def decode(
    document: Mapping[str, Any], dtypes: Mapping[str, str]
) -> tuple[Format, dict[str, np.ndarray]]:
    """The request's format and its inputs.

    Args:
        document: the request's JSON.
        dtypes: TensorFlow's name of the type ("float", "string") of every input by its alias.

    Raises:
        ServingError: the document does not fit.
    """
    if Format.ROW.value in document and Format.COLUMN.value in document:
        raise invalid_argument(
            f"JSON Value: {debug_text(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if Format.ROW.value in document:
        return Format.ROW, _decode_rows(document, dtypes)
    if Format.COLUMN.value in document:
        return Format.COLUMN, _decode_columns(document[Format.COLUMN.value], dtypes)
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def _decode_columns(value: Any, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or is_base64(value):
        if len(dtypes) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        value = {next(iter(dtypes)): value}
    arrays: dict[str, np.ndarray] = {}
    for name, dtype in dtypes.items():
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        tensor = Tensor.of(value[name], dtype)
        arrays[name] = tensor.array(tensor.shape)
    return arrays


def _decode_rows(document: Mapping[str, Any], dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    rows = document[Format.ROW.value]
    if not isinstance(rows, list):
        raise invalid_argument(
            f"JSON Value: {debug_text(document)} Expecting 'instances' to be an list/array"
        )
    if not rows:
        raise invalid_argument(f"JSON Value: {debug_text(document)} No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(dtypes) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    named = _is_named(rows[0])
    tensors: dict[str, Tensor] = {}
    for index, row in enumerate(rows):
        if named != _is_named(row):
            expected, actual = ("object", "list") if named else ("value/list", "object")
            raise invalid_argument(
                f"Expecting {expected} but got {actual} at item {index} of input list"
            )
        if named:
            _add_named_row(tensors, row, index, dtypes)
        else:
            _add_row(
                tensors, next(iter(dtypes)), row, dtypes, f"Failed to process element: {index}"
            )
    return {name: tensor.array([len(rows), *tensor.shape]) for name, tensor in tensors.items()}


def _add_named_row(
    tensors: dict[str, Tensor], row: Mapping[str, Any], index: int, dtypes: Mapping[str, str]
) -> None:
    for name, value in row.items():
        _add_row(tensors, name, value, dtypes, f"Failed to process element: {index} key: {name}")
    if row.keys() != dtypes.keys():
        raise invalid_argument(
            f"Failed to process element: {index} of 'instances' list. JSON object: "
            f"{debug_text(row)} keys must be equal to: {','.join(sorted(dtypes))}"
        )


def _add_row(
    tensors: dict[str, Tensor], name: str, value: Any, dtypes: Mapping[str, str], where: str
) -> None:
    try:
        if name not in dtypes:
            raise invalid_argument(f"JSON object: does not have named input: {name}")
        tensor = Tensor.of(value, dtypes[name])
        if name not in tensors:
            tensors[name] = tensor
        else:
            tensors[name].append(tensor)
    except ServingError as error:
        # In row format every error becomes an INVALID_ARGUMENT.
        raise invalid_argument(
            f"{where} of 'instances' list. Error: {error.status_text()}"
        ) from None


def _is_named(row: Any) -> bool:
    return isinstance(row, dict) and not is_base64(row)
