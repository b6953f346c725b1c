"""One grid point: everything that decides a result, and nothing else."""

from typing import Any

from pydantic import Field

from widthwise.experiments.spec.sections import Section
from widthwise.experiments.spec.study.sections import (
    SEED,
    ComputeSpec,
    StudyData,
    StudyNetwork,
    TrainingSpec,
)

DATA = (
    'a table [data] with name = "diabetes" (or another set), or with path = a CSV, NPZ or Parquet '
    "file"
)
COMPUTE = 'a table [compute] with quantities = ["limit_kernels", "ensemble"], or others'


class GridPoint(Section):
    """Data, network, training and what to compute of it, with the seed of the networks.

    Example:
        >>> from widthwise.experiments.spec import GridPoint
        >>> point = {"data": {"name": "iris"}, "compute": {"quantities": ["ensemble"]}}
        >>> GridPoint.model_validate(point).network.width
        128
    """

    seed: int = Field(default=0, ge=0, lt=2**32, description=f"{SEED}; it draws the networks")
    data: StudyData = Field(description=DATA)
    network: StudyNetwork = Field(
        default_factory=StudyNetwork,  # pyright: ignore[reportArgumentType]
        description="a table [network]",
    )
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="a table [training]")
    compute: ComputeSpec = Field(description=COMPUTE)

    def plain(self) -> dict[str, Any]:
        """The point as plain values, every default filled in."""
        return self.model_dump(mode="json")
