"""What a job may cost at most, in pixels × steps × pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prediction.limits import PictureRequest
from web.jobs.refusals import Reason, refused


@dataclass(frozen=True)
class Costs:
    max_count: int
    max_cost: int

    def check_count(self, count: int) -> None:
        """Before the requests are made: a count of billions must cost nothing."""
        if count < 1:
            raise refused(Reason.INVALID, f"ask for at least one picture, not {count}")
        if count > self.max_count:
            raise refused(
                Reason.TOO_COSTLY,
                f"{count} pictures are too many for one job: ask for at most {self.max_count}",
            )

    def check(self, requests: Sequence[PictureRequest], image_size: int) -> None:
        steps = sum(request.num_steps for request in requests)
        if steps * image_size**2 > self.max_cost:
            raise refused(
                Reason.TOO_COSTLY,
                f"{len(requests)} × {requests[0].num_steps} steps of {image_size}×{image_size} "
                "pixels are too much for one job: ask for fewer pictures or steps",
            )
