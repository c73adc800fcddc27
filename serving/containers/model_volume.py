"""How a pod reads the model: over gs://, or from a GCS FUSE mount with a disk cache."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes import core

from infra.settings.pod import FUSE_SIDECAR

MOUNT_PATH = "/models"
USER_ID = 65532
"""User of the server's processes; any but root."""

FUSE_ANNOTATIONS = {
    "gke-gcsfuse/volumes": "true",
    "gke-gcsfuse/cpu-request": f"{FUSE_SIDECAR.millicpu}m",
    "gke-gcsfuse/memory-request": f"{FUSE_SIDECAR.memory_mib}Mi",
    "gke-gcsfuse/cpu-limit": "0",
    "gke-gcsfuse/memory-limit": "0",
    "gke-gcsfuse/ephemeral-storage-limit": "0",
}
"""The sidecar's default limits slow it down and are too small for its cache; 0 means no limit."""

_CACHE_SIZE = "10Gi"
_MOUNT_OPTIONS = (
    "implicit-dirs",
    f"uid={USER_ID}",
    f"gid={USER_ID}",
    # Models are immutable, so cached metadata never expires.
    "metadata-cache:ttl-secs:-1",
    # But a missing model may come.
    "metadata-cache:negative-ttl-secs:0",
    "metadata-cache:stat-cache-max-size-mb:-1",
    "metadata-cache:type-cache-max-size-mb:-1",
    "file-cache:max-size-mb:-1",
    "file-cache:cache-file-for-range-read:true",
    "file-cache:enable-parallel-downloads:true",
)


def model_path(model_uri: str) -> str:
    """The path of a model at gs://bucket/path in the bucket's mount."""
    _bucket, _, path = model_uri.removeprefix("gs://").partition("/")
    return f"{MOUNT_PATH}/{path}"


def bucket_volume(bucket: pulumi.Input[str]) -> core.v1.VolumeArgs:
    return core.v1.VolumeArgs(
        name="models",
        csi=core.v1.CSIVolumeSourceArgs(
            driver="gcsfuse.csi.storage.gke.io",
            read_only=True,
            volume_attributes={"bucketName": bucket, "mountOptions": ",".join(_MOUNT_OPTIONS)},
        ),
    )


def cache_volume() -> core.v1.VolumeArgs:
    """On the node's disk, not in memory. Only the sidecar that GKE adds mounts it; where the pod
    has none of this name, GKE adds that too, without a limit of its size."""
    return core.v1.VolumeArgs(
        name="gke-gcsfuse-cache",
        empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit=_CACHE_SIZE),
    )


def fuse_mount() -> core.v1.VolumeMountArgs:
    return core.v1.VolumeMountArgs(name="models", mount_path=MOUNT_PATH, read_only=True)
