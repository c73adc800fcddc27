"""How long a request may take where a machine may have to start for it: one table, part by part.

Knative's timer starts when the request arrives, before there is a pod, and so covers all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from infra.settings.pod import ModelAccess
from infra.settings.values import SettingsError

NODE_SECONDS = 120
"""A new node, once the cluster autoscaler has decided on it. Like the next three an estimate: none
was measured on Google Cloud."""
IMAGES_SECONDS = 45
"""The pod's images on a new node, and its containers."""
READ_BYTES_PER_SECOND = {"gs": 50_000_000, "fuse": 150_000_000}
"""The model from the bucket: TensorFlow reads it in one stream, GCS FUSE in several."""
WARM_UP_SECONDS = 45
"""A step of each signature, which the server draws before it says that it is ready."""
MARGIN_SECONDS = 15
"""By which whoever waits outlasts whom it waits for, so that the answer says what was too slow."""
LONGEST_SECONDS = 600
"""The most that Knative gives a request: its activator, which hands over the requests that wait,
ends after so long, and the operator cannot change that."""


@dataclass(frozen=True)
class TimeBudget:
    """Seconds for each part. request: for a running pod, the wait for other requests included."""

    node: int
    images: int
    load: int
    request: int

    @property
    def wake(self) -> int:
        """From no machine to one that draws."""
        return self.node + self.images + self.load

    @property
    def job(self) -> int:
        """For a job of the front, which may wait for a machine."""
        return self.wake + self.request

    @property
    def revision(self) -> int:
        """For a request to a worker, the longest of all: what Knative's timers are set to."""
        return self.job + MARGIN_SECONDS


def time_budget(model_bytes: int, access: ModelAccess, request_timeout_seconds: int) -> TimeBudget:
    """The table. Raises SettingsError if it is more than Knative gives a request.

    model_bytes: no less than the model has.
    """
    budget = TimeBudget(
        node=NODE_SECONDS,
        images=IMAGES_SECONDS,
        load=math.ceil(model_bytes / READ_BYTES_PER_SECOND[access]) + WARM_UP_SECONDS,
        request=request_timeout_seconds,
    )
    if budget.revision > LONGEST_SECONDS:
        most = LONGEST_SECONDS - MARGIN_SECONDS - budget.wake
        raise SettingsError(
            "requestTimeoutSeconds",
            f"{request_timeout_seconds} s, after {budget.wake} s in which a machine starts (node "
            f"{budget.node}, images {budget.images}, model {budget.load}) and with "
            f"{MARGIN_SECONDS} s to spare, are more than the {LONGEST_SECONDS} s that Knative's "
            "operator leaves a request. More needs Knative's own manifests, with "
            "max-revision-timeout-seconds and the activator's terminationGracePeriodSeconds "
            "raised, or mode: deployment",
            str(most) if most > 0 else "60",
            None if most > 0 else _FASTER,
        )
    return budget


_FASTER = "No request would have time: take a smaller model, or modelAccess: fuse"
