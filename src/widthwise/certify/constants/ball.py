"""The constants that fit a network: neuron by neuron at depth 1, beyond the smallest known."""

from typing import TypeAlias

from widthwise.certify.constants.deep import DeepBounds
from widthwise.certify.constants.shallow import ShallowBounds
from widthwise.certify.evaluation import Evaluation

Bounds: TypeAlias = ShallowBounds | DeepBounds


def bounds_at(at: Evaluation) -> Bounds:
    """The constants of a network at these parameters."""
    return ShallowBounds(at) if at.problem.depth == 1 else DeepBounds(at)
