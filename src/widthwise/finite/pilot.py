"""How finely an ensemble must be integrated, found on its first packet of members.

The outputs f_h of a Runge–Kutta step h are compared with f_{h/2} at all recorded times and points:
at order p they differ from the flow by nearly |f_h − f_{h/2}| / (1 − 2^{−p}), and h is shortened,
more where a flow is fast, until that is within the tolerance. Which members are in the packet
depends on the network and the data alone, so all parts of an ensemble take the same steps.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from widthwise import _checks as checks
from widthwise.finite.dynamics import Adaptive, FixedSteps
from widthwise.finite.ntk import mlp_ntk
from widthwise.finite.packets import Training, start, train
from widthwise.finite.runge_kutta import first_step

_MOST_HALVINGS = 12
_ORDER = 8
_MOST_LONGER = 1.5  # than the first step, where the error allows it; well within stability

Pilot = Int[np.ndarray, " members"]
Outputs = Float[np.ndarray, "members times points outputs"]


def resolved(
    training: Training, pilot: Pilot, tolerance: float, step: float | None
) -> tuple[Training, float]:
    """The training with a step found on the pilot, and its error there.

    Args:
        training: the ensemble.
        pilot: numbers of the members of the first packet.
        tolerance: the error allowed in the outputs.
        step: the first step to try; ``None`` takes it from λ_max.

    Raises:
        ValueError: if no step that is not absurdly small is within the tolerance.
    """
    if isinstance(training.plan, Adaptive):
        return training, _adaptive_error(training, pilot)
    if isinstance(training.plan, FixedSteps):
        return _with_step(training, training.plan, pilot, tolerance, step)
    return training, 0.0


def in_float32(training: Training, pilot: Pilot) -> tuple[Training, float]:
    """The training in float32, and how far its outputs are from float64's on the pilot."""
    single = replace(training, single=True)
    return single, _difference(_outputs(training, pilot), _outputs(single, pilot))


def _with_step(
    training: Training, plan: FixedSteps, pilot: Pilot, tolerance: float, step: float | None
) -> tuple[Training, float]:
    """Shorten the step until the pilot agrees with a shorter one.

    At order 8 the differences at the recorded times say how long the steps before each may be. Such
    steps are tried first: half steps, already known, are their standard, and the error of those,
    2⁻⁸ of the difference from whole steps, is counted twice on top.
    """
    if step is None:
        step = first_step(plan.scheme) / max(_largest_eigenvalue(training, pilot), 1e-12)
    moments = np.asarray(plan.times)

    def at(longest: float | np.ndarray) -> tuple[FixedSteps, Outputs]:
        steps = FixedSteps.flow(moments, longest, plan.scheme)
        return steps, _outputs(replace(training, plan=steps), pilot)

    coarse, outputs = at(checks.positive(step, "step"))
    error = np.inf
    for _ in range(_MOST_HALVINGS):
        sizes = np.where(coarse.counts > 0, coarse.sizes, coarse.step)
        fine, finer = at(sizes / 2)
        errors = _differences(outputs, finer)
        error = float(errors.max())
        if error <= tolerance:
            return replace(training, plan=coarse), error
        if plan.scheme.startswith("dormand_prince_8") and error < tolerance * 2 ** (_ORDER - 2):
            factors = (tolerance / (2 * np.maximum(errors, 1e-300))) ** (1 / _ORDER)
            between, outputs = at(sizes * np.clip(factors, 0.5, _MOST_LONGER))
            known = float(_differences(outputs, finer).max()) + 2 * error / 2**_ORDER
            if known <= tolerance:
                return replace(training, plan=between), known
        coarse, outputs = fine, finer
    raise ValueError(
        f"gradient flow at width {training.width} is too stiff: with time step "
        f"{float(coarse.step):.1e} its outputs still change by {error:.1e}, above "
        f"tolerance={tolerance:g}; use solver='adaptive', a larger tolerance, or rescale the data"
    )


def _adaptive_error(training: Training, pilot: Pilot) -> float:
    """The pilot's change when the tolerance is a tenth."""
    plan = training.plan
    assert isinstance(plan, Adaptive)
    finer = replace(training, plan=Adaptive(plan.times, plan.tolerance / 10))
    return _difference(_outputs(training, pilot), _outputs(finer, pilot))


def _outputs(training: Training, pilot: Pilot) -> Outputs:
    """The pilot's outputs, with nothing else recorded."""
    return np.asarray(train(replace(training, names=(), limit=None), pilot)["outputs"])


def _difference(outputs: Outputs, others: Outputs) -> float:
    return float(_differences(outputs, others).max())


def _differences(outputs: Outputs, others: Outputs) -> Float[np.ndarray, " times"]:
    """The largest at every recorded time."""
    with np.errstate(invalid="ignore"):
        return np.abs(outputs - others).max((0, 2, 3))


def _largest_eigenvalue(training: Training, pilot: Pilot) -> float:
    """Of Θ on the train points, for the first member."""
    net = training.net.at_width(training.width, training.inputs)
    x = training.task.x_train
    parameters = jax.tree.map(lambda leaf: leaf[0], start(training, pilot))
    theta = mlp_ntk(net, parameters, x, x, training.width)
    return float(jnp.linalg.eigvalsh(theta)[-1])
