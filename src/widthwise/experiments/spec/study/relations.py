"""What the fields of one grid point, and those of a study, must satisfy together."""

from collections.abc import Iterator

from widthwise.experiments.spec.errors import Problem
from widthwise.experiments.spec.relations import (
    OF_DATA,
    OF_LAYERS,
    Reader,
    Relation,
    step_of_descent,
    whole_steps,
)
from widthwise.experiments.spec.study.sections import GENERATED, PACKAGED
from widthwise.experiments.spec.toml import shown
from widthwise.model.laws import get

_SAMPLED = ("initial_ensemble", "ntk_ensemble", "ensemble", "predictions", "distances")
_REGRESSIONS = ("boston", "autompg", "sphere", "circle")


def _one_source(read: Reader) -> Iterator[Problem]:
    name, path = read("data.name"), read("data.path")
    if name is None and path is None:
        known = ", ".join((*PACKAGED, *GENERATED))
        remedy = f"says no data: add name = one of {known}, or path = a CSV, NPZ or Parquet file"
        yield Problem("data", None, remedy)
    if name is not None and path is not None:
        remedy = f"name = {shown(name)} is given too; keep one of them"
        yield Problem("data.path", shown(path), remedy)


def _classes_of_sets(read: Reader) -> Iterator[Problem]:
    name, classes = read("data.name"), read("data.classes")
    if classes is not None and name in _REGRESSIONS:
        remedy = f"{name} is a regression and has no classes; remove this"
        yield Problem("data.classes", shown(classes), remedy)


def _made_sets(read: Reader) -> Iterator[Problem]:
    name = read("data.name")
    for field in ("inputs", "noise"):
        if f"data.{field}" in read and name not in GENERATED:
            remedy = f"belongs to generated sets ({', '.join(GENERATED)}); remove this line"
            yield Problem(f"data.{field}", shown(read(f"data.{field}")), remedy)
    inputs = read("data.inputs")
    if name in ("circle", "two_moons") and inputs not in (None, 2):
        yield Problem("data.inputs", shown(inputs), f"{name} lies in the plane; write inputs = 2")


def _points_exist(read: Reader) -> Iterator[Problem]:
    points, test = read("compute.points"), read("data.test")
    for i, point in enumerate(points):
        if point >= test:
            remedy = f"there is no such test point: data.test = {test}, accepted: 0 to {test - 1}"
            yield Problem(f"compute.points[{i}]", shown(point), remedy)


def _moments_exist(read: Reader) -> Iterator[Problem]:
    """The limit needs fourth moments; a series its order + 2 (said when it is computed)."""
    value = read("network.weight_law")
    for law in value if isinstance(value, list | tuple) else [value]:
        if get(law).highest_moment < 4:
            remedy = (
                f"{get(law).name} has moments up to {get(law).highest_moment:g} alone; corrections "
                "need the fourth: take a law with lighter tails"
            )
            yield Problem("network.weight_law", shown(value), remedy)
            return


def _descent_is_certified(read: Reader) -> Iterator[Problem]:
    method = read("compute.certificate")
    dynamics = read("compute.dynamics") or read("training.method")
    if dynamics == "descent" and method in ("linear_reference", "sign_flips"):
        remedy = 'is a theorem about gradient flow; write dynamics = "flow", or "auto" here'
        yield Problem("compute.certificate", shown(method), remedy)


def _law_of_flow(read: Reader) -> Iterator[Problem]:
    quantities, method = read("compute.quantities"), read("training.method")
    for i, name in enumerate(quantities):
        if name in ("training_law", "predicted_distances") and method == "descent":
            remedy = 'is known for gradient flow alone; write method = "flow", or leave it out'
            yield Problem(f"compute.quantities[{i}]", shown(name), remedy)


OF_A_POINT: tuple[Relation, ...] = (
    _one_source,
    *OF_DATA,
    _classes_of_sets,
    _made_sets,
    *OF_LAYERS,
    lambda read: step_of_descent(read, "training"),
    lambda read: whole_steps(read, "training"),
    _points_exist,
    _moments_exist,
    _descent_is_certified,
    _law_of_flow,
)
"""Relations within one grid point."""


def whole_blocks(read: Reader) -> Iterator[Problem]:
    """The networks of a point are whole blocks: then more of them can be added later."""
    members, block = read("budget.members"), read("compute.block")
    if members % block:
        near = max(1, round(members / block)) * block
        remedy = (
            f"must be a multiple of block = {block} in [compute]; write members = {near}, or "
            f"block = {members if members < block else 1} there"
        )
        yield Problem("budget.members", shown(members), remedy)


def enough_members(read: Reader) -> Iterator[Problem]:
    """Cumulants and their standard errors need some networks."""
    members, quantities = read("budget.members"), read("compute.quantities")
    sampled = [name for name in quantities if name in _SAMPLED]
    if sampled and members < 16:
        remedy = f"is too few for the standard errors of {sampled[0]}; accepted: at least 16"
        yield Problem("budget.members", shown(members), remedy)


def place_of_executor(read: Reader) -> Iterator[Problem]:
    """Options fit the kind of executor."""
    kind, address = read("executor.kind"), read("executor.address")
    if kind == "scheduler" and address is None:
        remedy = 'is missing; kind = "scheduler" needs address = "tcp://host:8786"'
        yield Problem("executor.address", None, remedy)
    if kind != "scheduler" and address is not None:
        remedy = f'belongs to kind = "scheduler", not to {shown(kind)}; remove this line'
        yield Problem("executor.address", shown(address), remedy)
    if kind == "slurm" and read("executor.interface") is None:
        remedy = 'is missing; kind = "slurm" needs the network of the nodes, interface = "ib0"'
        yield Problem("executor.interface", None, remedy)
    for field, kinds in _KINDS_OF.items():
        value = read(f"executor.{field}")
        if value is not None and kind not in kinds:
            belongs = " or ".join(f'"{k}"' for k in kinds)
            remedy = f"belongs to kind = {belongs}, not to {shown(kind)}; remove this line"
            yield Problem(f"executor.{field}", shown(value), remedy)


_KINDS_OF: dict[str, tuple[str, ...]] = {
    "workers": ("threads", "local"),
    "memory": ("local", "slurm"),
    **dict.fromkeys(
        ("interface", "jobs", "cores", "walltime", "queue", "account", "log_directory"), ("slurm",)
    ),
}
OF_THE_STUDY: tuple[Relation, ...] = (whole_blocks, enough_members, place_of_executor)
"""Relations of the study as a whole, with every varied field at one of its values."""
