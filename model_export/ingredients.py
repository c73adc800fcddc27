"""What a model was made of besides this project's and the official files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ingredient:
    """kind: weights, vae or lora. name: of the file or folder. note: what was used of it."""

    kind: str
    name: str
    sha256: str
    note: str

    def to_text(self) -> str:
        return f"{self.kind} {self.name}: {self.note}"
