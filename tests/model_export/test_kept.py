"""The claim on a model that an earlier revision needs: what it keeps, and for how long."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from model_export import owners, publish
from model_export.kept import KeptModelProvider
from model_export.manifest import Manifest
from model_export.resource import ModelExportProvider
from model_export.storage import FileStorage
from tests.model_export.conftest import TINY_SPEC, TINY_WEIGHTS_SHA256

FINGERPRINT = TINY_SPEC.fingerprint(TINY_WEIGHTS_SHA256)


@pytest.fixture
def base(made_up_model: Callable[..., tuple[Path, Manifest]], tmp_path: Path) -> Path:
    """A folder of models with one in it."""
    folder, manifest = made_up_model()
    publish.publish(folder, manifest, FileStorage(f"file://{tmp_path}/models/{FINGERPRINT}"))
    return tmp_path / "models"


def inputs(base: Path, name: str) -> dict[str, Any]:
    return {
        "destination": f"file://{base}",
        "fingerprint": FINGERPRINT,
        "owner": f"diffusion-serving/mine/{name}",
    }


def test_a_kept_model_stays_when_the_stack_goes_on_to_another_and_goes_when_none_needs_it(
    base: Path,
) -> None:
    export, keep = ModelExportProvider(), KeptModelProvider()
    exported = export.create(inputs(base, "model") | {"spec": TINY_SPEC.to_json()})
    kept = keep.create(inputs(base, "stable-model"))
    assert kept.outs is not None and exported.outs is not None
    export.delete(exported.id, exported.outs)
    assert publish.problems(FileStorage(kept.id)) == []
    assert owners.owners(FileStorage(kept.id)) == ["diffusion-serving/mine/stable-model"]
    assert keep.read(kept.id, kept.outs).id == kept.id
    keep.delete(kept.id, kept.outs)
    assert list(base.iterdir()) == []


def test_a_model_that_the_stack_serves_again_outlasts_its_claim(base: Path) -> None:
    keep = KeptModelProvider()
    kept = keep.create(inputs(base, "stable-model"))
    again = ModelExportProvider().create(inputs(base, "model") | {"spec": TINY_SPEC.to_json()})
    assert kept.outs is not None
    keep.delete(kept.id, kept.outs)
    assert publish.problems(FileStorage(again.id)) == []


def test_a_model_that_is_gone_is_refused_in_one_line_and_leaves_no_claim(tmp_path: Path) -> None:
    base = tmp_path / "models"
    base.mkdir()
    with pytest.raises(RuntimeError) as error:
        KeptModelProvider().create(inputs(base, "stable-model"))
    line = str(error.value)
    assert line.startswith(f"the model {FINGERPRINT} of stableRevision is not in file://{base}: ")
    assert line.endswith("set stableRevision to another one, or to nothing")
    assert list(base.iterdir()) == []


def test_another_model_is_claimed_before_the_first_one_is_given_up(base: Path) -> None:
    old = inputs(base, "stable-model")
    diff = KeptModelProvider().diff("id", old, old | {"fingerprint": "f" * 16})
    assert diff.replaces == ["fingerprint"] and diff.delete_before_replace is False
    assert not KeptModelProvider().diff("id", old, dict(old)).changes


def test_the_provider_is_stored_by_name() -> None:
    stored = base64.b64decode(serialize_provider(KeptModelProvider()))
    assert b"model_export.kept" in stored and b"KeptModelProvider" in stored
