"""A stand-in for Cloud Storage: the buckets that exist at Google, with published models in them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from infra.settings.stack import parse
from model_export.families import fingerprint
from model_export.manifest import MANIFEST_NAME, FileEntry, Manifest
from render.recorder import PROJECT
from tests.gke.google_cloud import GoogleCloud
from tests.model_export.fake_gcs import FakeGcs

_CONTENT = b"not a model: nobody loads it"


class CloudStorage(FakeGcs):
    def __init__(self, google: GoogleCloud) -> None:
        super().__init__()
        self._google = google
        self._published: dict[str, bytes] = {}
        self.before_request = self._follow_buckets

    def publish(self, config: Mapping[str, str]) -> None:
        """Put the model of a stack's config where its export would, in every bucket."""
        prefix = f"{PROJECT}:"
        values = {k.removeprefix(prefix): v for k, v in config.items() if k.startswith(prefix)}
        model = fingerprint(spec := parse(values, config["gcp:project"]).model)
        entry = FileEntry("1/saved_model.pb", len(_CONTENT), sha256(_CONTENT).hexdigest())
        manifest = Manifest(
            fingerprint=model,
            exporter_version=1,
            spec=spec,
            weights_sha256="",
            versions={},
            parameter_count=1,
            licence="Apache-2.0",
            signatures={},
            files=(entry,),
        )
        self._published[f"models/{model}/{entry.path}"] = _CONTENT
        self._published[f"models/{model}/{MANIFEST_NAME}"] = manifest.to_bytes()
        with self.mutex:
            for bucket in self.buckets.values():
                self._fill(bucket)

    def _follow_buckets(self) -> None:
        existing = self._google.resources("Bucket")
        with self.mutex:
            for name in existing.keys() - self.buckets.keys():
                self._fill(self.buckets.setdefault(name, {}))
            for name in self.buckets.keys() - existing.keys():
                del self.buckets[name]

    def _fill(self, bucket: dict[str, tuple[bytes, dict[str, str]]]) -> None:
        for path, content in self._published.items():
            bucket.setdefault(path, (content, {}))
