"""A job: the smallest piece of a study that is computed, stored and counted as a whole."""
from dataclasses import dataclass

@dataclass(frozen=True)
class Job:
    """One block of one quantity at one grid point; `payload` is canonical JSON that says all there is to compute."""
    point: str
    quantity: str
    block: int
    payload: str

    @property
    def name(self) -> str:
        return f"{self.point}/{self.quantity}/{self.block:06d}"
