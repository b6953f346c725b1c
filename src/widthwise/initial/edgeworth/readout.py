"""Which outputs a law is about, and what is known of the last layer that makes them.

The variables are outputs f_{i}(x_a), one per pair of a row a of the data and a component i, and the
law is that of matrix · variables. Given the hidden layers the outputs are sums over the neurons of
the last one: with Gaussian readout weights and bias they are Gaussian given the random kernel

    K_ab = σ_b² + σ_w²/n Σ_j φ(z_j(a)) φ(z_j(b)),      the same for all components,

and with discrete weights times a function of finitely many values they lie on a lattice.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.algebra.hermite import multi_indices
from widthwise.initial.cumulants import OutputCumulants
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian

_VALUES_PER_POINT = 0.1


@dataclass(frozen=True, eq=False)
class Readout:
    """The outputs a law is about.

    Args:
        cumulants: of the network on its data, without an output bias whose law is not Gaussian.
        net: the architecture, with it.
        rows: row of the data of every variable.
        components: output component of every variable.
        matrix: the law is that of matrix · variables.
    """

    cumulants: OutputCumulants
    net: MLP
    rows: tuple[int, ...]
    components: tuple[int, ...]
    matrix: Float[np.ndarray, "k variables"]

    def projected(self, matrix: Float[np.ndarray, "k dimension"]) -> "Readout":
        """The same outputs, seen through one more matrix."""
        return dataclasses.replace(self, matrix=matrix @ self.matrix)

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Joint cumulants of the variables over |α| ≤ P + 2 by power of ε, and their errors.

        Components are exchangeable, so a cumulant is asked for once up to their names.
        """
        P = self.cumulants.order
        indices = multi_indices(len(self.rows), P + 2)
        table, errors = np.zeros((2, len(indices), P + 1))
        known: dict[tuple[tuple[int, ...], ...], int] = {}
        for place, alpha in enumerate(indices):
            if alpha.sum() < 2:
                continue
            groups: dict[int, list[int]] = {}
            for row, component, count in zip(self.rows, self.components, alpha, strict=True):
                if count:
                    groups.setdefault(component, []).extend([row] * int(count))
            key = tuple(sorted(tuple(sorted(group)) for group in groups.values()))
            if key in known:
                table[place], errors[place] = table[known[key]], errors[known[key]]
                continue
            known[key] = place
            points = [row for group in key for row in group]
            parts = [i for i, group in enumerate(key) for _ in group]
            series = self.cumulants.cumulant(points, parts)
            table[place], errors[place] = series.coefficients, series.error
        return table, errors

    @property
    def conditionally_gaussian(self) -> bool:
        """Whether the outputs, less a bias that is not, are Gaussian given the hidden layers."""
        return isinstance(self.net.weight_law[self.net.depth], Gaussian)

    @cached_property
    def lattice(self) -> str:
        """Why the outputs lie on a lattice, as far as that is plain at once; else empty."""
        last, net = self.net.depth, self.net
        smoothed = net.has_bias(last) and not net.bias_law[last].discrete
        if not net.weight_law[last].discrete or smoothed:
            return ""
        if not _few_values(net.activation):
            return ""
        return (
            f"readout weights of the discrete law {net.weight_law[last].name} times "
            f"{net.activation.name} put the output on a lattice: it has no density, and the "
            "Edgeworth series misses the steps of its distribution function (Cramér's condition "
            "fails)"
        )

    def kernel_moments(
        self, width: float, order: int | None
    ) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
        """Rows p, E K_ab and Cov(K_ab, K_cd), a ≤ b and c ≤ d, of the kernel above at width n."""
        rows = tuple(sorted(set(self.rows)))
        net = self.cumulants.net
        if net.outputs < 2:
            net = dataclasses.replace(net, outputs=2)
        two = dataclasses.replace(self.cumulants, net=net)
        pairs = [(rows[a], rows[b]) for a, b in zip(*np.triu_indices(len(rows)), strict=True)]
        mean = np.array([two.cumulant(pair, (0, 0)).at(width, order) for pair in pairs])
        covariance = np.zeros((len(pairs), len(pairs)))
        for i, one in enumerate(pairs):
            for j, other in enumerate(pairs[: i + 1]):
                value = two.cumulant((*one, *other), (0, 0, 1, 1)).at(width, order)
                covariance[i, j] = covariance[j, i] = value
        return rows, mean, covariance


def require_no_lattice(readout: Readout | None, what: str) -> None:
    """Raise where the outputs plainly lie on a lattice, which has not what is asked for."""
    if readout is not None and readout.lattice:
        raise ValueError(
            f"{readout.lattice}, so the series gives no {what}; use another readout law or an "
            "output bias, or ask for expectations of smooth functions"
        )


def _few_values(activation: Activation) -> bool:
    """Whether φ is constant but for jumps: few values on many points."""
    z = np.linspace(-12.03, 12.07, 4096)
    return len(np.unique(np.asarray(activation(z)))) < _VALUES_PER_POINT * len(z)
