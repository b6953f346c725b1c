"""One study, computed: theory and simulation of one network on one data set, side by side.

For the network, data and widths of a :class:`~widthwise.experiments.spec.Spec` this computes

* the infinite-width limit (kernels, linear flow and its Gaussian process);
* the first finite-width corrections (fourth cumulant, Edgeworth law of one output, the size of the
  first-order deviation from the linear flow, the mean of the trained outputs through 1/n);
* ensembles of real networks at every width: at initialization, and trained;

and the measured power laws in n. Every measured number has a standard error, every computed one an
error estimate. The result is a frozen value of plain arrays, which the report draws.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.algebra.power_law import Slope as Slope
from widthwise.experiments.certificates import CertificateAtWidth
from widthwise.experiments.data import Dataset
from widthwise.experiments.spec import Spec


@dataclass(frozen=True)
class Measured:
    """A number with its standard error (Monte Carlo) or error estimate (quadrature)."""

    value: float
    error: float


@dataclass(frozen=True, eq=False)
class AtWidth:
    """What was measured and predicted at one width n, for the chosen test point and all points.

    Args:
        width: n.
        members: trained networks.
        initial_members: networks sampled at initialization.
        initial_outputs: outputs of those at the chosen point, (initial_members,).
        fourth_cumulant: measured κ₄ of the output at the chosen point.
        fourth_cumulant_theory: its prediction, or ``None`` where there is none yet.
        distance_to_gp: measured Wasserstein-1 distance of the output's law from the GP's Gaussian.
        distance_to_gp_theory: the same distance of the corrected (Edgeworth) law.
        distance_to_corrected: measured Wasserstein-1 distance from the corrected law.
        corrected_order: order in n^{-1/2} of the corrected law used (the optimal one).
        outputs: trajectories of a few trained networks (shown, times, points, outputs).
        deviation: root mean square over networks of the deviation of the outputs from the linear
            flow with the same initial outputs, (times, points).
        deviation_error: its standard error.
        deviation_theory: first-order prediction of it, or ``None``.
        largest_deviation: the largest over times of the root mean square over networks and points.
        largest_deviation_theory: its first-order prediction, or ``None``.
        mean_shift: ensemble mean less the GP's mean, (times, points, outputs), measured as the mean
            deviation from the linear flow, whose own mean is the GP's.
        mean_shift_error: its standard error.
        mean_shift_theory: its prediction by the training law through 1/n, or ``None``, and
        mean_shift_theory_error: the error of that prediction's coefficients.
        integration_error: estimated error of the time integration (0 for gradient descent).
        seconds: wall time spent on this width.
    """

    width: int
    members: int
    initial_members: int
    initial_outputs: Float[np.ndarray, " initial"]
    fourth_cumulant: Measured
    fourth_cumulant_theory: Measured | None
    distance_to_gp: Measured
    distance_to_gp_theory: float | None
    distance_to_corrected: Measured | None
    corrected_order: int | None
    outputs: Float[np.ndarray, "shown times points outputs"]
    deviation: Float[np.ndarray, "times points"]
    deviation_error: Float[np.ndarray, "times points"]
    deviation_theory: Float[np.ndarray, "times points"] | None
    largest_deviation: Measured
    largest_deviation_theory: Measured | None
    mean_shift: Float[np.ndarray, "times points outputs"]
    mean_shift_error: Float[np.ndarray, "times points outputs"]
    mean_shift_theory: Float[np.ndarray, "times points outputs"] | None
    mean_shift_theory_error: Float[np.ndarray, "times points outputs"] | None
    integration_error: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Density:
    """The law of the chosen output at one width on a grid of values z.

    ``measured`` is the average over networks of the Gaussian density their hidden layers leave to a
    Gaussian readout (``None`` for other readouts), ``measured_error`` its standard error.
    """

    width: int
    z: Float[np.ndarray, " grid"]
    gaussian: Float[np.ndarray, " grid"]
    corrected: Float[np.ndarray, " grid"] | None
    measured: Float[np.ndarray, " grid"] | None
    measured_error: Float[np.ndarray, " grid"] | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Theory and simulation of one study.

    Args:
        spec: what was asked.
        dataset: the data used (train and test points, labels, how they were made).
        point: index of the chosen output's point among all points (train first).
        kernel_eigenvalues: of Θ_∞ on the train points, increasing.
        kernel_error: estimated error of the limit kernels' entries.
        output_std: standard deviation of the GP at the chosen point at initialization.
        times: moments of training recorded (steps for gradient descent).
        gp_mean: mean of the time-dependent GP, (times, points, outputs).
        gp_std: its standard deviation, (times, points).
        widths: results, increasing in n.
        densities: law of the chosen output at the smallest and at the largest width.
        fourth_cumulant_slope: fitted power of n of κ₄.
        deviation_slope: fitted power of n of the deviation from the linear flow.
        training_law: which engine computed the law of the trained outputs, or why there is none.
        versions: name → version of the software that computed this.
        command: the command line that makes this again.
        seconds: wall time of the whole study.
        certificates: of one network per width; empty where none was looked for.
    """

    spec: Spec
    dataset: Dataset
    point: int
    kernel_eigenvalues: Float[np.ndarray, " train"]
    kernel_error: float
    output_std: float
    times: Float[np.ndarray, " times"]
    gp_mean: Float[np.ndarray, "times points outputs"]
    gp_std: Float[np.ndarray, "times points"]
    widths: tuple[AtWidth, ...]
    densities: tuple[Density, ...]
    fourth_cumulant_slope: Slope | None
    deviation_slope: Slope | None
    training_law: str
    versions: dict[str, str]
    command: str
    seconds: float
    certificates: tuple[CertificateAtWidth, ...] = ()
