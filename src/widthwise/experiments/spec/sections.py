"""The sections of a spec: every field, its default, and what it accepts.

The descriptions of the fields are their documentation: a message about a wrong field quotes them.
"""

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from widthwise.experiments.spec.fields import (
    ActivationName,
    DataFile,
    Distinct,
    Increasing,
    LawOrName,
    Listed,
    NonNegative,
    PerHiddenLayer,
    PerLayer,
    Positive,
    SomePositive,
)
from widthwise.model.architecture import MLP

_NamedSet: TypeAlias = Literal["digits", "diabetes", "breast_cancer", "wine"]
NAMED_SETS: tuple[str, ...] = get_args(_NamedSet)

Scaling: TypeAlias = Literal["standard", "unit_norm", "range", "none"]
Labels: TypeAlias = Literal["centred", "one_hot", "signs"]


class Section(BaseModel):
    """Frozen; unknown fields are errors; "32" is not 32, and true is not 1."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
    )


class Points(Section):
    """What every choice of data says: which points, and how many."""

    name: str | None = None
    path: DataFile | None = Field(
        default=None,
        description='a CSV, NPZ or Parquet file, seen from the folder of this file: "points.csv"',
    )
    target: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="the column, or the NPZ array, to predict (default: the last column, or y)",
    )
    classes: Annotated[tuple[int | str, ...], Listed, Field(min_length=2), Distinct] | None = Field(
        default=None, description="at least two different classes to keep, such as [3, 8]"
    )
    train: int = Field(default=16, ge=2, description="a whole number of train points, at least 2")
    test: int = Field(default=4, ge=1, description="a whole number of test points, at least 1")


class DataSpec(Points):
    """Which points to train and test on."""

    name: _NamedSet | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=None, description="one of digits, diabetes, breast_cancer, wine"
    )
    standardize: bool = Field(
        default=True, description="true (inputs scaled to mean 0 and variance 1) or false"
    )

    @property
    def scaling(self) -> Scaling:
        """How inputs are scaled."""
        return "standard" if self.standardize else "none"

    @property
    def labels(self) -> Labels:
        """How classes become numbers."""
        return "centred"


_Laws: TypeAlias = Annotated[tuple[LawOrName, ...], PerLayer]
_LAWS = 'the name of a law, {name = "student_t", df = 9}, or a list of depth + 1 laws'


class NetworkSpec(Section):
    """The network, but for the number of its outputs, which the data decides."""

    depth: int = Field(
        default=1, ge=1, le=1000, description="a whole number of hidden layers, from 1 to 1000"
    )
    activation: ActivationName = Field(
        default="relu", description='the name of an activation, such as "tanh"'
    )
    weight_std: Annotated[tuple[Positive, ...], PerLayer] = Field(
        default=1.0,  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description="a number above 0, or a list of depth + 1 of them",
    )
    bias_std: Annotated[tuple[NonNegative, ...], PerLayer] = Field(
        default=0.0,  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description="a number of at least 0, or a list of depth + 1 of them",
    )
    weight_law: _Laws = Field(
        default="gaussian",  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description=_LAWS,
    )
    bias_law: _Laws = Field(
        default="gaussian",  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description=_LAWS,
    )
    ratios: Annotated[tuple[Positive, ...], PerHiddenLayer] = Field(
        default=None,  # pyright: ignore[reportArgumentType]
        validate_default=True,
        description="a list of numbers above 0, one per hidden layer: its width over n",
    )
    parametrization: Literal["ntk", "standard"] = Field(
        default="ntk", description='"ntk" or "standard"'
    )
    bias_scaling: Literal["constant", "fan_in"] = Field(
        default="constant",
        description='"constant", or "fan_in" (every bias_std over the root of the fan-in)',
    )

    def __call__(self, outputs: int) -> MLP:
        """The network with this many outputs."""
        return MLP(outputs=outputs, **{f: getattr(self, f) for f in type(self).model_fields})


def _default_times(data: dict[str, Any]) -> tuple[float, ...]:
    return (0.0, 10.0, 100.0) if data.get("method") == "descent" else (0.0, 0.5, 1.0, 2.0)


class TrainingSpec(Section):
    """How networks are trained."""

    method: Literal["flow", "descent"] = Field(
        default="flow", description='"flow" (gradient flow) or "descent" (gradient descent)'
    )
    step: Positive | None = Field(
        default=None, description='a number above 0; only for method = "descent"'
    )
    times: Annotated[
        tuple[NonNegative, ...], Listed, Field(min_length=1), Increasing, SomePositive
    ] = Field(
        default_factory=_default_times,
        description="increasing numbers of at least 0: times of gradient flow, such as "
        "[0, 0.5, 1, 2], or numbers of steps of gradient descent, such as [0, 10, 100]",
    )
    tolerance: float = Field(
        default=1e-4, gt=0, lt=1, description="a number between 0 and 1, for the time integration"
    )


class ComparisonSpec(TrainingSpec):
    """What to simulate and to compare."""

    widths: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Listed, Field(min_length=1), Increasing
    ] = Field(
        default=(32, 64, 128, 256),
        description="increasing whole numbers of at least 1, such as [32, 64, 128, 256]",
    )
    members: int = Field(
        default=200, ge=2, description="a whole number of networks to train per width, at least 2"
    )
    initial_members: int = Field(
        default=4000,
        ge=4,
        description="a whole number of networks to sample at initialization per width, at least 4",
    )
    point: int = Field(
        default=0, ge=0, description="an index among the test points; the first one is 0"
    )
    order: int = Field(
        default=4,
        ge=0,
        le=10,
        description="a whole number from 0 to 10, the highest power of n^(-1/2)",
    )


SECTIONS: dict[str, type[Section]] = {
    "data": DataSpec,
    "network": NetworkSpec,
    "study": ComparisonSpec,
}
"""The sections of a file, in order."""
