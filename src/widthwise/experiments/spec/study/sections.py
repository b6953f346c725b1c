"""The sections of a study over a grid: every field, its default, and what it accepts.

The descriptions of the fields are their documentation: a message about a wrong field quotes them.
"""

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field

from widthwise.experiments.spec.fields import (
    Distinct,
    Listed,
    NonNegative,
    Positive,
)
from widthwise.experiments.spec.sections import (
    Labels,
    NetworkSpec,
    Points,
    Scaling,
    Section,
    TrainingSpec,
)
from widthwise.model.architecture import MLP

_Packaged: TypeAlias = Literal[
    "digits", "diabetes", "breast_cancer", "wine", "iris", "mnist", "boston", "autompg"
]
_Generated: TypeAlias = Literal["sphere", "circle", "two_moons", "blobs"]
_Known: TypeAlias = _Packaged | _Generated
PACKAGED: tuple[str, ...] = get_args(_Packaged)
GENERATED: tuple[str, ...] = get_args(_Generated)

_Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**32)]
SEED = "a whole number from 0 to 4294967295"


def _scaling_of(data: dict[str, Any]) -> Scaling:
    return "none" if data.get("name") in GENERATED else "standard"


class StudyData(Points):
    """Which points to train and test on, and how they become numbers."""

    name: _Known | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=None, description=f"one of {', '.join((*PACKAGED, *GENERATED))}"
    )
    scaling: Scaling = Field(
        default_factory=_scaling_of,  # pyright: ignore[reportArgumentType]
        description='"standard" (mean 0, variance 1), "unit_norm" (length √inputs), "range" '
        '(from -1 to 1) or "none"',
    )
    labels: Labels = Field(
        default="centred",
        description='"centred" (two classes: -1 and +1; C classes: 1 - 1/C and -1/C), "one_hot" '
        '(1 and 0) or "signs" (+1 and -1)',
    )
    seed: _Seed = Field(default=0, description=f"{SEED}; it draws the points")
    inputs: int | None = Field(
        default=None,
        ge=2,
        le=10_000,
        description="a whole number from 2 to 10000: coordinates of a generated point",
    )
    noise: NonNegative | None = Field(
        default=None, description="a number of at least 0: spread of generated targets or points"
    )

    @property
    def generator(self) -> dict[str, Any]:
        """What a generated set is made with."""
        return {"inputs": self.inputs or 2, "noise": self.noise or 0.0, "seed": self.seed}


class StudyNetwork(NetworkSpec):
    """The network and its width."""

    width: int = Field(
        default=128,
        ge=1,
        le=10**9,
        description="a whole number of neurons of a hidden layer, from 1 to 1000000000",
    )

    def __call__(self, outputs: int) -> MLP:
        """The network with this many outputs."""
        return MLP(outputs=outputs, **{f: getattr(self, f) for f in NetworkSpec.model_fields})


_QuantityName: TypeAlias = Literal[
    "limit_kernels",
    "initial_series",
    "edgeworth",
    "ntk_statistics",
    "training_law",
    "predicted_distances",
    "initial_ensemble",
    "ntk_ensemble",
    "ensemble",
    "predictions",
    "distances",
    "certificates",
]
QUANTITY_NAMES: tuple[str, ...] = get_args(_QuantityName)


class ComputeSpec(Section):
    """What to compute, and how far."""

    quantities: Annotated[tuple[_QuantityName, ...], Listed, Field(min_length=1), Distinct] = Field(
        description=f"a list of names out of {', '.join(QUANTITY_NAMES)}"
    )
    order: int = Field(
        default=2,
        ge=0,
        le=10,
        description="a whole number from 0 to 10, the highest power of n^(-1/2)",
    )
    points: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], Listed, Field(min_length=1), Distinct
    ] = Field(
        default=(0,),
        description="different indices of test points whose laws are followed, such as [0, 1]; "
        "the first one is 0",
    )
    cumulants: int = Field(
        default=4,
        ge=2,
        le=6,
        description="a whole number from 2 to 6, the highest cumulant that is measured",
    )
    block: int = Field(
        default=64,
        ge=1,
        le=10**7,
        description="a whole number of networks that one job computes, at least 1",
    )
    keep_members: bool = Field(
        default=False, description="true (the outputs of all networks are kept) or false"
    )
    dynamics: Literal["flow", "descent"] | None = Field(
        default=None,
        description='"flow" or "descent": which training is certified; training.method if not said',
    )
    certificate: Literal["auto", "path", "linear_reference", "trajectory", "sign_flips"] = Field(
        default="auto",
        description='"auto", "path", "linear_reference", "trajectory" or "sign_flips"',
    )
    loss: Positive = Field(
        default=1e-3,
        description="a number above 0: training has converged where its loss, over that of "
        "outputs 0, is below it",
    )


class BudgetSpec(Section):
    """How much may be spent; results do not depend on it, but for the number of networks."""

    members: int = Field(
        default=256,
        ge=1,
        le=2**32,  # random numbers are drawn by 32 bits of a network's number
        description="a whole number of networks per grid point, from 1 to 4294967296, a multiple "
        "of block",
    )
    seconds: Positive | None = Field(
        default=None, description="a number above 0: no job is started later than that"
    )
    memory: Positive = Field(
        default=2e9, description="a number above 0: bytes that one job may take"
    )


_Text: TypeAlias = Annotated[str, Field(min_length=1, pattern=r"^[^\n\r]+$")]


class ExecutorSpec(Section):
    """Where jobs run, if the command does not say it."""

    kind: Literal["serial", "threads", "local", "scheduler", "slurm"] = Field(
        default="serial", description='"serial", "threads", "local", "scheduler" or "slurm"'
    )
    workers: int | None = Field(
        default=None, ge=1, le=100_000, description="a whole number of workers, at least 1"
    )
    address: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description='the address of a Dask scheduler, "tcp://host:8786"; only for kind = '
        '"scheduler"',
    )
    memory: Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")] | None = Field(
        default=None, description='a text such as "8GB": of a local worker, or of one Slurm job'
    )
    interface: _Text | None = Field(
        default=None, description='the network by which Slurm nodes reach this host, such as "ib0"'
    )
    jobs: int | None = Field(
        default=None, ge=1, le=100_000, description="a whole number of Slurm jobs, at least 1"
    )
    cores: int | None = Field(
        default=None, ge=1, le=100_000, description="a whole number of cores of one Slurm job"
    )
    walltime: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,3}:\d{2}:\d{2}$")] | None = Field(
        default=None, description='a text such as "04:00:00": the time of one Slurm job'
    )
    queue: _Text | None = Field(default=None, description="a text: the Slurm partition")
    account: _Text | None = Field(default=None, description="a text: the Slurm account")
    log_directory: _Text | None = Field(
        default=None, description="a text: the folder for what Slurm workers print"
    )

    @property
    def options(self) -> dict[str, Any]:
        """What was said beyond the kind."""
        return self.model_dump(exclude={"kind"}, exclude_none=True)


POINT_SECTIONS: dict[str, type[Section]] = {
    "data": StudyData,
    "network": StudyNetwork,
    "training": TrainingSpec,
    "compute": ComputeSpec,
}
"""The sections whose fields may vary over a grid."""

STUDY_SECTIONS: dict[str, type[Section]] = {
    **POINT_SECTIONS,
    "budget": BudgetSpec,
    "executor": ExecutorSpec,
}
"""All sections but ``[grid]`` and ``[zip]``, in order."""
