"""Compute a study: theory first, then real networks width by width, then the fitted power laws."""

import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeAlias

import jax
import numpy as np
from scipy.stats import norm

from widthwise._version import __version__
from widthwise.algebra.power_law import Slope, fit_slope
from widthwise.algebra.series import Series
from widthwise.experiments.certificates import certificates
from widthwise.experiments.comparison import (
    AtWidth,
    Comparison,
    Density,
    Measured,
)
from widthwise.experiments.data import Dataset
from widthwise.experiments.spec import Spec
from widthwise.finite import estimators
from widthwise.finite.ensembles import simulate
from widthwise.finite.estimators import ConditionalMoments
from widthwise.finite.initialization import sample_initial
from widthwise.initial.cumulants import output_cumulants
from widthwise.initial.edgeworth import Edgeworth, edgeworth
from widthwise.limit.flow import LinearFlow, linear_flow
from widthwise.model.architecture import MLP
from widthwise.training.first_order import (
    MeanSquare,
    first_order_mean_square,
    has_first_order,
)
from widthwise.training.law import TrainingLaw, training_law

Progress: TypeAlias = Callable[[int, int, str], None]
_SHOWN = 24
_GRID = 1201
_LAW_ROWS = {1: 24, 2: 14}  # outputs whose law takes seconds, by depth (2 and more)


def compare(
    spec: Spec, dataset: Dataset, *, command: str = "", progress: Progress | None = None
) -> Comparison:
    """Compute theory and simulation of a study.

    Args:
        spec: what to compute.
        dataset: the data, loaded.
        command: the command line that makes this again.
        progress: called as progress(done, total, message).

    Returns:
        :class:`Comparison`.

    Raises:
        ValueError: for a computation that cannot meet its tolerance, with the reason.
    """
    start = time.perf_counter()
    say = progress or (lambda done, total, message: None)
    total = 2 + len(spec.study.widths)
    say(0, total, "infinite width, first corrections")
    study = _Study(spec, dataset)
    results = []
    for number, width in enumerate(spec.study.widths, 1):
        say(number, total, f"networks of width {width}")
        results.append(study.at_width(width))
    say(total - 1, total, "proofs of convergence")
    proven = certificates(spec, dataset, study.flow.eigenvalues)
    say(total, total, "done")
    widths = tuple(result for result, _ in results)
    ends = {widths[0].width, widths[-1].width}
    return Comparison(
        spec=spec,
        dataset=dataset,
        point=study.point,
        kernel_eigenvalues=study.flow.eigenvalues,
        kernel_error=study.flow.kernel_error,
        output_std=study.std,
        times=study.times,
        gp_mean=study.flow.mean(**study.clock),
        gp_std=np.sqrt(np.einsum("tpp->tp", study.flow.covariance(**study.clock)).clip(0)),
        widths=widths,
        densities=tuple(density for _, density in results if density.width in ends),
        fourth_cumulant_slope=_slope(widths, lambda w: w.fourth_cumulant, -1.0),
        deviation_slope=_slope(widths, lambda w: w.largest_deviation, -0.5),
        training_law=study.law_note,
        versions=_versions(),
        command=command,
        seconds=time.perf_counter() - start,
        certificates=proven,
    )


class _Study:
    """What the widths of one study share: theory, the clock of training, random keys."""

    def __init__(self, spec: Spec, dataset: Dataset):
        self.spec, self.dataset = spec, dataset
        self.net: MLP = spec.network(dataset.y_train.shape[1])
        self.x = np.concatenate([dataset.x_train, dataset.x_test])
        self.point = len(dataset.x_train) + spec.study.point
        self.times = np.asarray(spec.study.times, dtype=float)
        keys = jax.random.split(jax.random.key(spec.seed), 3)
        self.initial_key, self.training_key, self.neuron_key = keys
        self.flow: LinearFlow = linear_flow(
            self.net, dataset.x_train, dataset.y_train, dataset.x_test
        )
        self.std = float(np.sqrt(self.flow.nngp[self.point, self.point]))
        self.z = np.linspace(-9 * self.std, 9 * self.std, _GRID)
        self.corrected = self._corrected()
        self.fourth_cumulant = self._fourth_cumulant_series()
        self.first_order = self._first_order()
        self.law, self.law_note = self._training_law()

    @property
    def clock(self) -> dict:
        """How :class:`LinearFlow` is told the recorded moments."""
        study = self.spec.study
        if study.method == "descent":
            return {"steps": self.times, "step": study.step}
        return {"t": self.times}

    def _corrected(self) -> Edgeworth | None:
        """The corrected law of the chosen output, where the theory covers the network."""
        cumulants = output_cumulants(self.net, self.x[[self.point]], self.spec.study.order)
        try:
            law = edgeworth(cumulants)
        except ValueError:  # the limit is not Gaussian (an output bias), or a law lacks a moment
            return None
        return law if isinstance(law, Edgeworth) and not law.lattice else None

    def _fourth_cumulant_series(self) -> Series | None:
        """κ₄ of the chosen output to 1/n², or to 1/n if the laws lack the moments for that."""
        for order in (4, 2):
            try:
                cumulants = output_cumulants(self.net, self.x[[self.point]], order)
                return cumulants.cumulant((0, 0, 0, 0))
            except ValueError:  # a law lacks a moment
                continue
        return None

    def _first_order(self) -> MeanSquare | None:
        if self.spec.study.method != "flow" or not has_first_order(self.net):
            return None
        return first_order_mean_square(self.net, self.flow, self.x, self.times, key=self.neuron_key)

    def _training_law(self) -> tuple[TrainingLaw | None, str]:
        """The law of the trained outputs where its engine is quick, and which one or why not."""
        if self.spec.study.method != "flow":
            return None, "the law of the trained outputs is known for gradient flow alone"
        rows = len(self.x) * self.net.outputs
        if rows > _LAW_ROWS[min(self.net.depth, 2)]:
            return None, (
                f"{rows} outputs are too many to compute their law within a report; call "
                "widthwise.training_law"
            )
        data = self.dataset
        try:
            law = training_law(self.net, data.x_train, data.y_train, data.x_test, self.times)
        except ValueError as reason:
            return None, str(reason)
        return law, law.engine

    def _mean_shift(self, width: int) -> dict:
        """What the training law says of the mean less the GP's, with its error."""
        shift = error = None
        if self.law is not None:
            powers = float(width) ** (-0.5 * np.arange(1, 3))
            shift = np.tensordot(powers, self.law.mean_coefficients[1:], 1)
            error = np.sqrt(np.tensordot(powers**2, self.law.errors.mean[1:] ** 2, 1))
        return {"mean_shift_theory": shift, "mean_shift_theory_error": error}

    def at_width(self, width: int) -> tuple[AtWidth, Density]:
        """Sample and train networks of one width and compare them with the theory."""
        start = time.perf_counter()
        study, net = self.spec.study, self.net
        moments = sample_initial(
            net,
            width,
            self.x[self.point],
            study.initial_members,
            jax.random.fold_in(self.initial_key, width),
        )
        runs = simulate(
            net,
            width,
            self.dataset.x_train,
            self.dataset.y_train,
            self.dataset.x_test,
            self.times,
            study.members,
            jax.random.fold_in(self.training_key, width),
            method=study.method,
            step=study.step,
            tolerance=study.tolerance,
        )
        deviation = runs.outputs - self.flow.outputs(runs.initial, **self.clock)
        squares = (deviation**2).mean(-1)
        each = estimators.root_mean_square(np.sqrt(squares))
        latest = int(np.argmax((each.value**2).mean(-1)))
        whole = estimators.root_mean_square(np.sqrt(squares[:, latest].mean(-1)))
        shift = estimators.mean(np.asarray(deviation))
        fourth = estimators.fourth_cumulant(self._sized(width), width, moments)
        law = self._law_at(width, moments)
        result = AtWidth(
            width=width,
            members=study.members,
            initial_members=study.initial_members,
            initial_outputs=moments.outputs,
            fourth_cumulant=_measured(fourth),
            fourth_cumulant_theory=self._fourth_cumulant(width),
            outputs=np.asarray(runs.outputs[:_SHOWN]),
            deviation=each.value,
            deviation_error=each.error,
            deviation_theory=self._deviation(width),
            largest_deviation=_measured(whole),
            largest_deviation_theory=self._largest_deviation(width),
            mean_shift=shift.value,
            mean_shift_error=shift.error,
            **self._mean_shift(width),
            integration_error=runs.integration_error,
            seconds=time.perf_counter() - start,
            **law,
        )
        return result, self._density(width, law["corrected_order"], moments)

    def _fourth_cumulant(self, width: int) -> Measured | None:
        if self.fourth_cumulant is None:
            return None
        best = self.fourth_cumulant.optimal(width)
        return Measured(best.value, best.error)

    def _law_at(self, width: int, moments: ConditionalMoments) -> dict:
        """Distances of the measured law from the GP's and from the corrected one."""
        gaussian = norm.cdf(self.z / self.std)
        measured = estimators.distribution(self._sized(width), moments, self.z, self.variance)
        distance = estimators.wasserstein(measured, gaussian, self.z)
        law = {
            "distance_to_gp": _measured(distance),
            "distance_to_gp_theory": None,
            "distance_to_corrected": None,
            "corrected_order": None,
        }
        if self.corrected is not None:
            order = self.corrected.optimal_order(width)
            cdf = self.corrected.cdf(self.z, width, order)
            law["corrected_order"] = order
            law["distance_to_gp_theory"] = float(np.trapezoid(np.abs(cdf - gaussian), self.z))
            law["distance_to_corrected"] = _measured(estimators.wasserstein(measured, cdf, self.z))
        return law

    @property
    def variance(self) -> float | None:
        """The output's variance where it is the limit's at every width: one hidden layer."""
        constant = self.net.depth == 1 and self.net.bias_scaling == "constant"
        return self.std**2 if constant else None

    def _sized(self, width: int) -> MLP:
        return self.net.at_width(width, self.x.shape[1])

    def _density(self, width: int, order: int | None, moments: ConditionalMoments) -> Density:
        z = self.z[np.abs(self.z) <= 4.5 * self.std][::3]
        gaussian = np.exp(-((z / self.std) ** 2) / 2) / (self.std * np.sqrt(2 * np.pi))
        corrected = None if self.corrected is None else self.corrected.pdf(z, width, order)
        measured = estimators.density(self._sized(width), moments, z, self.variance)
        return Density(
            width,
            z,
            gaussian,
            corrected,
            None if measured is None else measured.whole,
            None if measured is None else measured.error,
        )

    def _deviation(self, width: int) -> np.ndarray | None:
        return None if self.first_order is None else np.sqrt(self.first_order.value / width)

    def _largest_deviation(self, width: int) -> Measured | None:
        """Root of the mean over points, at the time where that mean is largest."""
        if self.first_order is None:
            return None
        means = self.first_order.value.mean(1)
        latest = int(np.argmax(means))
        value = np.sqrt(means[latest] / width)
        error = self.first_order.error[latest].mean() / (2 * np.sqrt(means[latest] * width))
        return Measured(float(value), float(error))


def _measured(estimate) -> Measured:
    return Measured(float(estimate.value), float(estimate.error))


def _slope(
    widths: tuple[AtWidth, ...], quantity: Callable[[AtWidth], Measured], theory: float
) -> Slope | None:
    """The fitted power of n of the size of a quantity, if it keeps one sign."""
    n = np.array([w.width for w in widths], dtype=float)
    values = np.array([quantity(w).value for w in widths])
    errors = np.array([quantity(w).error for w in widths])
    sign = np.sign(values[np.argmax(np.abs(values) / np.maximum(errors, 1e-300))])
    return fit_slope(n, sign * values, errors, theory)


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("jax", "numpy", "scipy")}
    return {"widthwise": __version__, "python": platform.python_version(), **libraries}
