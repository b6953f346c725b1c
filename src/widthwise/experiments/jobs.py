"""A job: the smallest piece of a study that is computed, stored and counted as a whole."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One block of one quantity at one grid point.

    Args:
        point: hash of what the quantity reads of the grid point.
        quantity: its name.
        block: number of the block of networks.
        payload: canonical JSON that says all there is to compute.
    """

    point: str
    quantity: str
    block: int
    payload: str

    @property
    def name(self) -> str:
        """How the store calls it."""
        return f"{self.point}/{self.quantity}/{self.block:06d}"
