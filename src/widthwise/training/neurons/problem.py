r"""What one neuron sees: points, kernels, labels, and the moments of the readout law.

A neuron's contribution to the outputs is n^{-1/2} h, h_x = a ψ(z_x), ψ = σ_w φ (σ_w of the readout;
a standardized), z_x = u · x̃ with x̃ = (σ_w x/√d, σ_b) of the first layer. Under training

    ȧ = −ε Σ_β ψ(z_β) r_β,      ż_x = −ε Σ_β k_{xβ} a ψ'(z_β) r_β,      k_{xβ} = x̃ · x̃_β.

A trained output bias moves every output by −σ_b² Σ_β ∫ r_β: it is part of Θ and of K, and of no
neuron. Its law must be Gaussian, or outputs at n = ∞ would not be.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.limit.first_layer.projection import Projection, project
from widthwise.limit.flow import LinearFlow
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian
from widthwise.training.neurons.panels import Panels, panels

READOUT_MOMENTS = 4


@dataclass(frozen=True, eq=False)
class Problem:
    """One hidden layer, one output, on all points (train first).

    Args:
        net: the network.
        flow: its linear flow on the points.
        sources: z as a projection of independent numbers.
    """

    net: MLP
    flow: LinearFlow
    sources: Projection

    @property
    def train(self) -> int:
        return len(self.flow.y)

    @property
    def points(self) -> int:
        return len(self.flow.nngp)

    @property
    def labels(self) -> Float[np.ndarray, " train"]:
        return self.flow.y[:, 0]

    @property
    def vectors(self) -> Float[np.ndarray, "train train"]:
        """Q, the eigenvectors of Θ on the train points."""
        return self.flow._spectrum[1]

    @cached_property
    def first_kernel(self) -> Float[np.ndarray, "points points"]:
        """k_{xy} = x̃ · x̃', the covariance of the preactivations."""
        return self.sources.covariance

    @property
    def bias_variance(self) -> float:
        """σ_b² of the output."""
        return float(self.net.bias_std[1]) ** 2

    @property
    def gaussian(self) -> bool:
        """Whether every number of a neuron is Gaussian."""
        return self.sources.gaussian and isinstance(self.net.weight_law[1], Gaussian)

    @property
    def fourth_moment(self) -> float:
        return self.net.weight_law[1].moment(4)

    @property
    def third_moment(self) -> float:
        return self.net.weight_law[1].moment(3)

    @cached_property
    def derivatives(self) -> tuple[Callable[[jax.Array | np.ndarray], jax.Array], ...]:
        """φ, φ', φ'', φ''' — without σ_w of the readout."""
        return tuple(self.net.activation.derivative(order) for order in range(4))

    @property
    def scale(self) -> float:
        """σ_w of the readout, the factor of ψ = σ_w φ."""
        return float(self.net.weight_std[1])

    def psi(
        self, z: Float[np.ndarray, "nodes points"], orders: int
    ) -> list[Float[np.ndarray, "nodes points"]]:
        """ψ and its derivatives below ``orders`` at given preactivations."""
        return [self.scale * np.asarray(f(jnp.asarray(z))) for f in self.derivatives[:orders]]

    def panels(self, times: Float[np.ndarray, " times"], stages: int, growth: float) -> Panels:
        response = self.flow.ntk[self.train :] @ self.vectors
        return panels(self.flow.eigenvalues, response, times, stages=stages, growth=growth)

    def rotate(self, rows: Float[np.ndarray, "*rest rows"]) -> Float[np.ndarray, "*rest rows"]:
        """Train rows of the last axis into the eigenbasis of Θ."""
        m = self.train
        Q = self.vectors.astype(rows.dtype)
        return np.concatenate([rows[..., :m] @ Q, rows[..., m:]], -1)

    def back(self, rows: Float[np.ndarray, "*rest rows"]) -> Float[np.ndarray, "*rest rows"]:
        """The inverse of :meth:`rotate`."""
        m = self.train
        return np.concatenate([rows[..., :m] @ self.vectors.T, rows[..., m:]], -1)


def problem(net: MLP, flow: LinearFlow, x: Float[np.ndarray, "points inputs"]) -> Problem:
    """The problem of a network for which the law is available, and its linear flow."""
    net = net.at_width(math.inf, x.shape[1])
    return Problem(net, flow, project(net, x))


def unavailable(net: MLP) -> str:
    """Why the law of a network is not available here; empty if it is."""
    activation, readout = net.activation, net.weight_law[-1]
    if net.depth != 1:
        return (
            "the neuron-by-neuron law is that of one hidden layer, got depth="
            f"{net.depth}; for deep networks measure blocks or train an ensemble"
        )
    if net.outputs != 1:
        return (
            "the neuron-by-neuron law is that of one output, got outputs="
            f"{net.outputs}: outputs share the hidden neurons and train jointly at finite width"
        )
    if net.parametrization != "ntk":
        return (
            "the neuron-by-neuron law needs the NTK parametrization, in which both layers train "
            f"at n = ∞, got parametrization={net.parametrization!r}"
        )
    if not activation.smooth:
        return (
            f"the law during training needs three derivatives of the activation, and {activation}"
            f" has kinks at {activation.kinks}: preactivations cross them while they move, which "
            "no Taylor expansion in the movement follows; train an ensemble of finite networks"
        )
    if net.has_bias(1) and net.bias_scaling == "fan_in":
        return (
            "an output bias that shrinks with the width changes the kernels at order 1/n, which "
            'is not part of this law; use bias_scaling="constant" or an output bias_std of 0'
        )
    if net.has_bias(1) and not isinstance(net.bias_law[1], Gaussian):
        return (
            "outputs are Gaussian at n = ∞ only if the output bias is, got the bias law "
            f"{net.bias_law[1].name}; use a Gaussian one or an output bias_std of 0"
        )
    if readout.highest_moment < READOUT_MOMENTS:
        return (
            f"the law through 1/n needs the fourth moment of a readout weight, and {readout.name}"
            f" has moments up to order {readout.highest_moment:g} only"
        )
    return ""
