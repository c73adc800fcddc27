"""The bucket for models: private, in the cluster's region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import storage

MODELS_FOLDER = "models"
_SOFT_DELETE_SECONDS = 7 * 24 * 3600
_UNFINISHED_UPLOAD_DAYS = 1


@dataclass(frozen=True)
class ModelBucketArgs:
    """protected: whether the bucket and its objects are protected from deletion."""

    region: pulumi.Input[str]
    protected: bool
    after: Sequence[pulumi.Resource]


class ModelBucket(pulumi.ComponentResource):
    """Uniform access, no public access, and soft delete for a week.

    Without object versioning, since models are never overwritten.
    """

    name: pulumi.Output[str]
    models_url: pulumi.Output[str]
    """Where models are published, as gs://bucket/folder."""
    project_number: pulumi.Output[int]

    def __init__(
        self, name: str, args: ModelBucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:ModelBucket", name, {}, opts)
        bucket = storage.Bucket(
            name,
            location=args.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            soft_delete_policy=storage.BucketSoftDeletePolicyArgs(
                retention_duration_seconds=_SOFT_DELETE_SECONDS
            ),
            lifecycle_rules=[
                storage.BucketLifecycleRuleArgs(
                    action=storage.BucketLifecycleRuleActionArgs(
                        type="AbortIncompleteMultipartUpload"
                    ),
                    condition=storage.BucketLifecycleRuleConditionArgs(age=_UNFINISHED_UPLOAD_DAYS),
                )
            ],
            force_destroy=not args.protected,
            opts=pulumi.ResourceOptions(
                parent=self, protect=args.protected, depends_on=list(args.after)
            ),
        )
        self.name = bucket.name
        self.project_number = bucket.project_number
        self.models_url = pulumi.Output.format("gs://{0}/{1}", bucket.name, MODELS_FOLDER)
        self.register_outputs({"name": self.name, "modelsUrl": self.models_url})
