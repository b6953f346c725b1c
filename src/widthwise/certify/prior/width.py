"""The smallest width found at which a random network is certified."""

import jax
import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.certify.certificate import Certificate, Dynamics
from widthwise.certify.constants.smoothness import smoothness
from widthwise.certify.posterior.certify import Method, methods_of, proven, without_ties
from widthwise.certify.prior.proven import ingredients, proven_width, unavailable
from widthwise.certify.prior.statistical import statistical_width
from widthwise.certify.prior.value import CertifiedWidth, Kind
from widthwise.model.architecture import MLP, require_network


def certified_width(
    net: MLP,
    x: ArrayLike,
    y: ArrayLike,
    probability: float = 0.95,
    confidence: float = 0.99,
    kind: Kind = "statistical",
    *,
    method: Method = "auto",
    dynamics: Dynamics = "flow",
    seeds: int | None = None,
    start: int = 4,
    largest: int = 2**14,
    key: jax.Array | None = None,
) -> CertifiedWidth:
    """A width at which training from a random initialization is certified to converge.

    ``"statistical"`` draws networks, certifies each, and gives the Clopper–Pearson lower limit of
    the probability, the confidence shared by all widths tested. ``"proven"`` is Theorem 5: no
    sampling, gradient flow, one hidden layer with a Gaussian readout (and a Gaussian first layer if
    the activation is unbounded); its widths are large.

    Args:
        net: the architecture.
        x: train points (points, inputs).
        y: labels (points, outputs), or (points,) for one output.
        probability: over the initialization.
        confidence: of the statistical statement.
        kind: ``"statistical"`` or ``"proven"``.
        method: as in :func:`~widthwise.certify.certify`; for ``"statistical"``.
        dynamics: ``"flow"`` or ``"descent"``, with the default step of
            :func:`~widthwise.certify.certify`.
        seeds: networks per width; by default the fewest that suffice if none fails.
        start: first width tested, for ``"statistical"``.
        largest: last width tested, for ``"statistical"``.
        key: of the networks drawn; a fixed one by default.

    Returns:
        :class:`CertifiedWidth`; its ``width`` is infinite if there is none, and its ``statement``
        is the probability statement in words.

    Raises:
        ValueError: for arguments out of range, a network that the kind does not cover, or labels
            that contradict each other.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww; from widthwise.certify import certified_width
        >>> plan = certified_width(ww.MLP(1, "erf"), [[1.0], [0.5]], [1.0, 0.0], kind="proven")
        >>> plan.probability, plan.found
        (0.95, True)
    """
    checks.require_x64()
    require_network(net)
    probability, confidence = _share(probability, "probability"), _share(confidence, "confidence")
    if kind not in ("statistical", "proven"):
        raise ValueError(f"kind must be 'statistical' or 'proven', got {kind!r}")
    methods_of(method, dynamics)
    points = checks.points(x)
    labels = checks.targets(y, len(points), net.outputs)
    problem = without_ties(net, points, labels, dynamics)
    if isinstance(problem, Certificate):
        raise ValueError(f"no width is certified: {problem.reason}")
    smoothness(net.activation)
    if kind == "proven":
        return _proven(net, problem, probability, method, dynamics)
    if key is not None:
        checks.key(key)
    start = checks.width(start, "start")
    largest = checks.width(largest, "largest")
    if start > largest:
        raise ValueError(f"start must be at most largest = {largest}, got {start}")
    seeds = None if seeds is None else checks.positive_integer(seeds, "seeds")
    root = jax.random.key(0) if key is None else key

    def succeeds(width: int, seed: int) -> bool:
        drawn = jax.random.fold_in(jax.random.fold_in(root, width), seed)
        parameters = net.init(drawn, width, points.shape[1])
        return proven(net, parameters, problem, method, dynamics)

    what = f"{'gradient flow' if dynamics == 'flow' else 'gradient descent'}, method {method!r}"
    return statistical_width(succeeds, probability, confidence, seeds, start, largest, what)


def _proven(
    net: MLP,
    problem: tuple[np.ndarray, np.ndarray, np.ndarray],
    probability: float,
    method: str,
    dynamics: str,
) -> CertifiedWidth:
    if dynamics != "flow" or method not in ("auto", "path"):
        raise ValueError(
            "kind='proven' is about gradient flow by path length; leave method and dynamics, got "
            f"{method!r} and {dynamics!r}, or take kind='statistical'"
        )
    missing = unavailable(net)
    if missing is not None:
        raise ValueError(f"not available: {missing}; take kind='statistical'")
    return proven_width(ingredients(net, *problem), probability)


def _share(value: object, name: str) -> float:
    number = checks.positive(value, name)
    if number >= 1:
        raise ValueError(f"{name} must be a number between 0 and 1, got {value!r}")
    return number
