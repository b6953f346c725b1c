"""A study: its sections together, read from a file or a mapping, checked, named and described."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from widthwise.experiments.spec import toml
from widthwise.experiments.spec.errors import Problem, SpecError
from widthwise.experiments.spec.relations import broken_relations
from widthwise.experiments.spec.sections import (
    SECTIONS,
    ComparisonSpec,
    DataSpec,
    NetworkSpec,
    Section,
)
from widthwise.experiments.spec.wrong_fields import wrong_fields


def _default_title(data: dict[str, Any]) -> str:
    if not ("data" in data and "network" in data):
        return ""
    source, network = data["data"], data["network"]
    return f"{source.name or source.path}: {network.activation}, depth {network.depth}"


class Spec(Section):
    """A study: data, network, and what to compute; made by :meth:`from_toml`.

    ``spec.network(outputs=1)`` is the network itself.

    Example:
        >>> from widthwise.experiments.spec import Spec
        >>> spec = Spec.from_mapping({"data": {"name": "diabetes"}})
        >>> spec.title, spec.study.widths
        ('diabetes: relu, depth 1', (32, 64, 128, 256))
    """

    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="a whole number from 0 to 4294967295; it decides every draw",
    )
    data: DataSpec = Field(
        description='a table [data] with name = "diabetes" (or digits, breast_cancer, wine), or '
        "with path = a CSV or NPZ file"
    )
    network: NetworkSpec = Field(
        default_factory=NetworkSpec,  # pyright: ignore[reportArgumentType]
        description="a table [network]",
    )
    study: ComparisonSpec = Field(default_factory=ComparisonSpec, description="a table [study]")
    title: str = Field(default_factory=_default_title, description="a text in quotes")

    @property
    def hash(self) -> str:
        """12 hexadecimal digits that name the content; the title is not part of it."""
        content = self.model_dump(mode="json", exclude={"title"})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def describe(self) -> tuple[str, ...]:
        """The network and the study in words, one sentence each."""
        n, s = self.network, self.study
        layers = "1 hidden layer" if n.depth == 1 else f"{n.depth} hidden layers"
        laws_ = f"{_said(law.name for law in n.weight_law)} weights"
        if any(n.bias_std):
            laws_ += f", {_said(law.name for law in n.bias_law)} biases"
            laws_ += " over the root of the fan-in" * (n.bias_scaling == "fan_in")
        network = (
            f"{layers}, {n.activation}, weight_std {_said(n.weight_std)}, "
            f"bias_std {_said(n.bias_std)}, {laws_}, {n.parametrization} parametrization"
        )
        if set(n.ratios) != {1.0}:
            network += f", hidden widths n times {', '.join(f'{r:g}' for r in n.ratios)}"
        times = f"{len(s.times)} times up to t = {s.times[-1]:g}"
        method = f"gradient flow, {times}, tolerance {s.tolerance:g}"
        if s.method == "descent":
            method = f"gradient descent, step {s.step:g}, up to {s.times[-1]:g} steps"
        return (
            network,
            f"n = {', '.join(map(str, s.widths))}: {s.initial_members} networks sampled and "
            f"{s.members} trained at each; {method}",
            f"corrections through n^(-{s.order / 2:g}), shown for test point {s.point}; "
            f"seed {self.seed}",
        )

    @classmethod
    def from_toml(cls, path: str | Path) -> "Spec":
        """The study a TOML file describes.

        Raises:
            SpecError: the file cannot be read, or fields are wrong: all of them at once.
        """
        path = Path(path)
        mapping = toml.read(path)
        if "compute" in mapping and "study" not in mapping:
            remedy = f"this is a study over a grid; use: widthwise run {path} --output DIR"
            raise SpecError(str(path), [Problem("", None, remedy)])
        return cls.from_mapping(mapping, source=str(path))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "spec") -> "Spec":
        """The study a mapping describes, laid out like the TOML file.

        Raises:
            SpecError: fields are wrong: all of them at once.
        """
        raw = dict(mapping)
        spec, problems = None, []
        try:
            spec = cls.model_validate(raw)
        except ValidationError as error:
            problems = wrong_fields(error, raw, cls)
        problems += broken_relations(raw, {problem.path for problem in problems})
        if spec is None or problems:
            raise SpecError(source, sorted(problems, key=_section_order))
        return spec

    def to_toml(self) -> str:
        """The study as a TOML file, every default written out."""
        return toml.document(self.model_dump(mode="json", exclude_none=True))


def _said(values: Iterator[Any] | Sequence[Any]) -> str:
    """One value per layer, said once if all agree."""
    words = [v if isinstance(v, str) else f"{v:g}" for v in values]
    return words[0] if len(set(words)) == 1 else "/".join(words)


def _section_order(problem: Problem) -> int:
    order = list(SECTIONS)
    section = re.split(r"[.\[]", problem.path)[0]
    return order.index(section) if section in order else -1
