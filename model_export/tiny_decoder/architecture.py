"""TAESD's decoder (github.com/madebyollin/taesd, MIT) as a table: its layers in order.

A block is three convolutions beside a direct connection. A layer's number is its place in the
original's sequence, which also counts the layers that have no weights.
"""

from __future__ import annotations

from dataclasses import dataclass

CHANNELS = 64
LATENT_CHANNELS = 4
COLOURS = 3
SCALE = 8
"""Pixels per latent position, in each direction."""
_BLOCK_CONVOLUTIONS = (0, 2, 4)


@dataclass(frozen=True)
class Convolution:
    """3×3. upsamples: its input is doubled first, in each direction."""

    number: int
    inputs: int = CHANNELS
    outputs: int = CHANNELS
    has_bias: bool = True
    upsamples: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its tensors in PyTorch's layout, by name."""
        return _shapes(str(self.number), self.inputs, self.outputs, has_bias=self.has_bias)


@dataclass(frozen=True)
class Block:
    """x ← ReLU(x + its convolutions of x), with a ReLU between two of them."""

    number: int

    @property
    def convolutions(self) -> tuple[str, ...]:
        return tuple(f"{self.number}.conv.{place}" for place in _BLOCK_CONVOLUTIONS)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for name in self.convolutions:
            found |= _shapes(name, CHANNELS, CHANNELS, has_bias=True)
        return found


LAYERS: tuple[Convolution | Block, ...] = (
    Convolution(1, inputs=LATENT_CHANNELS),  # and a ReLU
    *map(Block, (3, 4, 5)),
    Convolution(7, has_bias=False, upsamples=True),
    *map(Block, (8, 9, 10)),
    Convolution(12, has_bias=False, upsamples=True),
    *map(Block, (13, 14, 15)),
    Convolution(17, has_bias=False, upsamples=True),
    Block(18),
    Convolution(19, outputs=COLOURS),
)
FIRST = LAYERS[0]


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor's shape in PyTorch's layout, by its name in the original's file."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in LAYERS:
        found |= layer.shapes()
    return found


def diffusers_name(name: str) -> str:
    """The name in diffusers' files, which do not count the first layer, the clamp."""
    number, _, rest = name.partition(".")
    return f"decoder.layers.{int(number) - 1}.{rest}"


def _shapes(name: str, inputs: int, outputs: int, *, has_bias: bool) -> dict[str, tuple[int, ...]]:
    weight: dict[str, tuple[int, ...]] = {f"{name}.weight": (outputs, inputs, 3, 3)}
    return weight | {f"{name}.bias": (outputs,)} if has_bias else weight
