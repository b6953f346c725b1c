"""Types of single fields: what a file may write, and the value it becomes."""

import itertools
import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from widthwise.model import activations, laws
from widthwise.model.laws import Law

Positive: TypeAlias = Annotated[float, Field(gt=0)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0)]


# Lists become tuples. -----------------------------------------------------------------------------


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _per_layer(value: object, info: Any) -> object:
    """One value stands for depth + 1 of them; ``info`` (ValidationInfo) holds the fields before."""
    if isinstance(value, list | tuple):
        return tuple(value)
    return (value,) * (info.data.get("depth", 0) + 1)


def _per_hidden_layer(value: object, info: Any) -> object:
    return (1.0,) * info.data.get("depth", 1) if value is None else _tuple(value)


def _increasing(values: tuple) -> tuple:
    for i, (a, b) in enumerate(itertools.pairwise(values)):
        if not a < b:
            raise ValueError(f"must increase, but entry [{i + 1}] = {b} comes after [{i}] = {a}")
    return values


def _some_positive(times: tuple[float, ...]) -> tuple[float, ...]:
    if not times[-1] > 0:
        raise ValueError("needs a time above 0: at time 0 nothing has been trained")
    return times


def _distinct(classes: tuple) -> tuple:
    if len(set(classes)) < len(classes):
        raise ValueError("names a class twice; name each class once")
    return classes


Listed = BeforeValidator(_tuple)
PerLayer = BeforeValidator(_per_layer)
PerHiddenLayer = BeforeValidator(_per_hidden_layer)
Increasing = AfterValidator(_increasing)
SomePositive = AfterValidator(_some_positive)
Distinct = AfterValidator(_distinct)


# Names are looked up. -----------------------------------------------------------------------------


def _known_activation(name: str) -> str:
    try:
        activations.get(name)
    except ValueError as error:
        raise ValueError(str(error).partition(", or pass any function")[0]) from None
    return name.strip()


def _known_law(law: object) -> Law:
    try:
        return laws.get(law)
    except ValueError as error:
        text = str(error).partition("; a frozen scipy")[0]
        raise ValueError(re.sub(r"'(\w+)': ", r"\1 = ", text)) from None  # as TOML writes it


def _law_as_mapping(law: Law) -> dict[str, Any]:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(law).__name__).lower()
    return {"name": name, **{f.name: getattr(law, f.name) for f in fields(law)}}  # pyright: ignore[reportArgumentType]


def _readable_file(path: str) -> str:
    if Path(path).suffix.lower() not in (".csv", ".npz", ".parquet"):
        raise ValueError(
            "must end in .csv, .npz or .parquet; save the data in one of these formats"
        )
    if "\0" in path:
        raise ValueError("holds a NUL character, which no file name has; remove it")
    return path


ActivationName: TypeAlias = Annotated[str, AfterValidator(_known_activation)]
LawOrName: TypeAlias = Annotated[
    Law, BeforeValidator(_known_law), PlainSerializer(_law_as_mapping, when_used="json")
]
DataFile: TypeAlias = Annotated[str, AfterValidator(_readable_file)]
