"""Describes a published model and says whether it is complete, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from model_export import owners, publish
from model_export.manifest import MANIFEST_NAME, Manifest, ManifestError
from model_export.storage import Storage
from model_export.whereabouts import why_no_model


@dataclass(frozen=True)
class Inspection:
    """document and manifest are None if there is none that can be read.

    problems is empty for a complete model; the only one follows the URL if there is no model.
    """

    url: str
    is_model: bool
    document: dict[str, Any] | None
    manifest: Manifest | None
    problems: list[str]
    owners: list[str]

    def to_json(self) -> str:
        document: dict[str, Any] = {
            "url": self.url,
            "complete": not self.problems,
            "problems": self.problems,
            "owners": self.owners,
            "manifest": self.document,
        }
        return json.dumps(document, indent=2)

    def to_text(self) -> str:
        lines = [self.url]
        if self.manifest is not None:
            lines += described(self.manifest)
        if self.owners:
            lines.append(f"  needed by      {', '.join(self.owners)}")
        verdict = "complete" if not self.problems else "NOT COMPLETE"
        lines += [f"  verdict        {verdict}", *(f"    {problem}" for problem in self.problems)]
        return "\n".join(lines)


def inspect(storage: Storage, *, checksums: bool = False) -> Inspection:
    """Checks the manifest and every file's size; with checksums, the contents too."""
    if reason := why_no_model(storage):
        return Inspection(storage.url, False, None, None, [reason], [])
    content = storage.read(MANIFEST_NAME)
    try:
        manifest = None if content is None else Manifest.from_bytes(content)
    except ManifestError:
        manifest = None  # `problems` says what is wrong with it
    return Inspection(
        url=storage.url,
        is_model=True,
        document=None if content is None or manifest is None else json.loads(content),
        manifest=manifest,
        problems=publish.problems(storage, checksums=checksums),
        owners=owners.owners(storage),
    )


def described(manifest: Manifest) -> list[str]:
    """What a manifest says, in lines."""
    rows = {
        "fingerprint": manifest.fingerprint,
        **{key.replace("_", " "): value for key, value in manifest.spec_values.items() if value},
        "parameters": f"{manifest.parameter_count:,}",
        "licence": manifest.licence,
        "made with": ", ".join(f"{name} {found}" for name, found in manifest.versions.items()),
    }
    lines = [f"  {name:14} {value}" for name, value in rows.items()]
    for number, ingredient in enumerate(manifest.made_of):
        lines.append(f"  {'' if number else 'made of':14} {ingredient.to_text()}")
        lines.append(f"  {'':14}   sha256 {ingredient.sha256}")
    if manifest.has_random_weights:
        lines.append("  THE WEIGHTS ARE RANDOM: this model draws noise")
    lines.append(f"  {'files':14} {len(manifest.files)}, {_size(manifest.size_bytes)}")
    lines += [f"    {_size(file.size_bytes):>10}  {file.path}" for file in manifest.files]
    for name, signature in manifest.signatures.items():
        lines.append(f"  signature {name}")
        for way, tensors in (("in", signature.inputs), ("out", signature.outputs)):
            lines += [f"    {way:3} {tensor} {kind}" for tensor, kind in tensors.items()]
    return lines


def _size(size_bytes: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"
