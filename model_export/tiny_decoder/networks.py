"""Networks with the tiny decoder in place of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from model_export.networks import Networks

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


def with_tiny_decoder(
    networks: Networks,
    full_decoder: Sequence[tf.Variable],
    tensors: Mapping[str, np.ndarray],
    precision: str,
) -> Networks:
    """full_decoder: the variables that are no longer needed."""
    from model_export.tiny_decoder.network import TinyDecoder

    decoder = TinyDecoder(tensors, precision)
    dropped = {id(variable) for variable in full_decoder}
    variables = [one for one in networks.variables if id(one) not in dropped]
    variables += decoder.variables
    return replace(
        networks,
        decoder=decoder,
        variables=variables,
        parameter_count=sum(int(variable.shape.num_elements()) for variable in variables),
        decoder_draws_previews=True,
    )
