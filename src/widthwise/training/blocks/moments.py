r"""Moments of one neuron that the joint statistics of training at initialization consist of.

With φ, φ', φ'', φ''' taken at the preactivations z of one hidden neuron at all points, every block
of one hidden layer is made of six four-point moments

    E[φ_a^{(i)} φ_b^{(j)} φ_c^{(k)} φ_d^{(l)}],    ijkl = 0000, 0011, 1111, 0112, 1113, 1122,

of the three-point moments 000, 110 and 112 if the readout law is skewed, and of the two-point
moments 00 and 11 that are subtracted from them; the readout weights enter by their own moments
alone. Over nodes of a rule for z the four-point moments are products of two matrices whose columns
are pairs of points, so the cost is nodes × points⁴ at the speed of a matrix product.

The rule is that of :class:`widthwise.initial.vertex.neurons.Neurons`: refined tensor rules for few
independent directions of z, whatever the law of the first layer, until all moments agree, the
fourth-order ones with φ''' included; randomized Sobol points with a standard error otherwise.
"""

from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from jaxtyping import Float

from widthwise.algebra.taylor import taylor_coefficients
from widthwise.initial.vertex.neurons import Neurons, Sampling
from widthwise.limit.first_layer.projection import Projection
from widthwise.model import activations
from widthwise.model.activations import Activation

_FACTORIALS = np.array([1.0, 1.0, 2.0, 6.0])
_AIM = 1e-7
_RULE_WORK, _RANDOM_WORK = 4e10, 4e10
_MOST_NODES = 1.5e6
_FEWEST, _MOST = 1 << 13, 1 << 18
_NODES_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of one neuron at some points: named by the orders of the derivatives.

    Args:
        points: the number of points.
        flat: all moments in one row, as :func:`moments` lays them out.
    """

    points: int
    flat: Float[np.ndarray, " moments"]

    @cached_property
    def _parts(self) -> dict[str, np.ndarray]:
        pairs, p = _pair_count(self.points), self.points
        shapes = _shapes(pairs, p)
        ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
        pieces = np.split(self.flat, ends[:-1])
        return {
            name: piece.reshape(shape)
            for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
        }

    def __getitem__(self, orders: str) -> Float[np.ndarray, "..."]:
        """The moment of some orders, one axis per order, such as "0112"."""
        p, part = self.points, self._parts[orders]
        place = _places(p)
        left = part[place] if orders != "0112" else part
        match orders:
            case "00" | "11":
                return left
            case "000" | "110" | "112":
                return left
            case "0000" | "0011" | "1111" | "1122":
                return left[..., place]
            case "1113":
                return left.reshape(p, p, p, p)
            case _:
                return np.moveaxis(left[:, place].reshape(p, p, p, p), 1, -1)


def _pair_count(p: int) -> int:
    return p * (p + 1) // 2


def _places(p: int) -> np.ndarray:
    """Where the pair (a, b) stands among the pairs a ≤ b."""
    place = np.zeros((p, p), int)
    place[np.triu_indices(p)] = np.arange(_pair_count(p))
    return np.maximum(place, place.T)


def _shapes(pairs: int, p: int) -> dict[str, tuple[int, ...]]:
    return {
        "00": (pairs,),
        "11": (pairs,),
        "000": (pairs, p),
        "110": (pairs, p),
        "112": (pairs, p),
        "0000": (pairs, pairs),
        "0011": (pairs, pairs),
        "1111": (pairs, pairs),
        "1122": (pairs, pairs),
        "0112": (p * p, pairs),
        "1113": (pairs, p * p),
    }


def moments(
    activation: Activation,
    projection: Projection,
    *,
    key: jax.Array,
    samples: int | None = None,
) -> tuple[list[Moments], Moments]:
    """Independent estimates of all moments, and the error they share.

    Args:
        activation: φ, smooth.
        projection: the law of z, as independent numbers times coefficients.
        key: JAX random key, used where no rule will do.
        samples: how many random points to take then; by default as many as a second or two allows.

    Returns:
        One estimate and its error if a rule was feasible; 16 if points were random, error 0.
    """
    p = len(projection.coefficients)
    work = float(sum(np.prod(shape) for shape in _shapes(_pair_count(p), p).values()))
    if samples is None:
        samples = int(np.clip(2 ** int(np.log2(_RANDOM_WORK / work)), _FEWEST, _MOST))
    upper = np.triu_indices(p)

    def total(weights: np.ndarray, z: np.ndarray) -> np.ndarray:
        result: np.ndarray | float = 0.0
        for start in range(0, len(z), _NODES_AT_ONCE):
            part = slice(start, start + _NODES_AT_ONCE)
            result = result + _sums(activation, weights[part], np.asarray(z[part]), upper)
        return np.asarray(result)

    neurons = Neurons(activations.get("identity"), projection)
    sampling = Sampling(samples, key)
    most = min(_RULE_WORK, _MOST_NODES * work)
    copies, error = neurons.copies(total, work, sampling, aim=_AIM, most_work=most)
    return [Moments(p, copy) for copy in copies], Moments(p, error)


def _sums(activation: Activation, weights: np.ndarray, z: np.ndarray, upper) -> np.ndarray:
    """All moments summed over some nodes, laid out as the shapes say."""
    p = z.shape[1]
    derivatives = taylor_coefficients(activation.function, z.ravel(), 3) * _FACTORIALS[:, None]
    d0, d1, d2, d3 = derivatives.reshape(4, *z.shape)

    def ordered(f: np.ndarray, g: np.ndarray) -> np.ndarray:
        return (f[:, :, None] * g[:, None, :]).reshape(len(z), p * p)

    def unordered(f: np.ndarray) -> np.ndarray:
        return f[:, upper[0]] * f[:, upper[1]]

    both = weights[:, None]
    zeros, ones = unordered(d0), unordered(d1)
    weighted = both * ones
    parts = {
        "00": weights @ zeros,
        "11": weights @ ones,
        "000": (both * zeros).T @ d0,
        "110": weighted.T @ d0,
        "112": weighted.T @ d2,
        "0000": (both * zeros).T @ zeros,
        "0011": zeros.T @ weighted,
        "1111": weighted.T @ ones,
        "1122": weighted.T @ unordered(d2),
        "0112": ordered(d0, d2).T @ weighted,
        "1113": weighted.T @ ordered(d1, d3),
    }
    return np.concatenate([part.ravel() for part in parts.values()])
