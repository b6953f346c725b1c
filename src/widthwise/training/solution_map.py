"""The second-order solution map: outputs during training as a polynomial of the initial statistics.

Along gradient flow of ½ Σ (f_a − y_a)² the outputs, the tangent kernel and its derivatives obey

    ḟ = −Θ_t r,      Θ̇ = −O₃ r,      Ȯ₃ = −O₄ r,      r = f(X) − y,

O₃ and O₄ carrying the newest index last. About a constant kernel Θ, with D = Θ(0) − Θ, T = O₃(0),
U = O₄(0) and F = f(0), the solution is order 0, the linear flow A_t F + c_t, plus a sum of terms

    Σ e_t[λ_x, ρ_1, ρ_2, …] · (a product of entries of D, T, U) · (a product of entries of r(0))

in the eigenbasis of Θ on the train points: :mod:`widthwise.training.terms` lists the products and
the nodes ρ. A term forces row x of ḟ, and a forced row reaches the outputs in three ways, the
**channels**:

* a train mode i answers its own forcing, with nodes (λ_i, ρ);
* a test point answers its own forcing, with nodes (0, ρ);
* a test point x answers the forcing of mode i through (Θ_{*X}Q)_{xi}, with nodes (0, λ_i, ρ).

So every term needs one array of weights over channels, and one fixed matrix carries channels to
outputs; no weight has both an output and a forced row. Terms of order 1 and 2 in n^{−1/2} are
complete: the error is O(n^{−3/2}) about Θ_∞. About a network's own Θ_n(0), where D = 0 (the frozen
variant), the same table serves with the D terms absent.

Rows are points × outputs flattened point by point, train rows first, so several outputs need no
case of their own. An eigenvalue that is zero to rounding belongs to a direction of function space
that no parameter moves; D, T and U vanish along it, and it carries no term.

Gradient descent replaces e^{−tλ} by (1 − ηλ)^k. That is exact for order 0 and for the terms in D
alone; the others are joined by terms in four more tensors, S, W, R and Q, as a step also moves f
and Θ by its higher powers, ½η² ∇²f[∇f_β, ∇f_γ] r_β r_γ being the first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from widthwise.training.dynamics import Dynamics, GradientDescent
from widthwise.training.terms import Term, terms


@dataclass(frozen=True, eq=False)
class SolutionMap:
    """The solution map about a constant tangent kernel.

    Args:
        ntk: Θ between all rows and the train rows (rows, train): Θ_∞ for the law of all networks,
            Θ_n(0) for the frozen variant of one.
        y: labels of the train rows (train,).

    Example:
        >>> import numpy as np
        >>> from widthwise.training.dynamics import GradientFlow
        >>> from widthwise.training.solution_map import SolutionMap
        >>> solution = SolutionMap(np.array([[2.0], [1.0]]), np.array([3.0]))  # one train, one test
        >>> solution.mean(GradientFlow(np.inf))
        array([3. , 1.5])
    """

    ntk: Float[np.ndarray, "rows train"]
    y: Float[np.ndarray, " train"]

    def __post_init__(self) -> None:
        ntk, y = np.asarray(self.ntk), np.asarray(self.y)
        if ntk.ndim != 2 or y.shape != ntk.shape[1:] or len(ntk) < len(y):
            raise ValueError(
                "ntk must have shape (rows, train) with the train rows first, and y one label per "
                f"train row; got shapes {ntk.shape} and {y.shape} (several outputs: flatten points "
                "x outputs, point by point)"
            )

    @property
    def train(self) -> int:
        """The number of train rows."""
        return len(self.y)

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        square = self.ntk[: self.train]
        values, vectors = np.linalg.eigh((square + square.T) / 2)
        live = values > 8 * np.finfo(float).eps * len(values) * max(values[-1], 0.0)
        return values[live], vectors[:, live]

    @property
    def eigenvalues(self) -> Float[np.ndarray, " modes"]:
        """Eigenvalues of Θ on the train rows that are not zero to rounding, increasing."""
        return self._spectrum[0]

    @property
    def eigenvectors(self) -> Float[np.ndarray, "train modes"]:
        """Q, their eigenvectors as columns: the train modes."""
        return self._spectrum[1]

    @cached_property
    def through(self) -> Float[np.ndarray, "test modes"]:
        """Θ_{*X} Q, what a test row receives from the train modes."""
        return self.ntk[self.train :] @ self.eigenvectors

    # the initial statistics in the eigenbasis -------------------------------------------------

    def modes(
        self, tensor: Float[np.ndarray, "..."], axes: str, *, first: int = 0
    ) -> Float[np.ndarray, "..."]:
        """A tensor over rows in the eigenbasis.

        Args:
            tensor: its axes from ``first`` on run over rows (train first) or train rows.
            axes: one letter per such axis: "t" turns it to train modes (of an axis over all rows
                only the train rows are taken), "r" to train modes followed by test rows.
            first: how many leading axes are left alone.
        """
        Q, m = self.eigenvectors, self.train
        for axis, kind in enumerate(axes, start=first):
            moved = np.moveaxis(tensor, axis, -1)
            turned = moved[..., :m] @ Q
            if kind == "r":
                turned = np.concatenate([turned, moved[..., m:]], -1)
            tensor = np.moveaxis(turned, -1, axis)
        return tensor

    @cached_property
    def forced(self) -> Int[np.ndarray, " channels"]:
        """Which row, in the order of :meth:`modes`, each channel answers to."""
        modes, test = len(self.eigenvalues), len(self.ntk) - self.train
        through = np.arange(modes if test else 0)
        return np.concatenate([np.arange(modes + test), through])

    @cached_property
    def channels(self) -> Float[np.ndarray, "rows channels"]:
        """The matrix from channels to outputs."""
        modes, test = len(self.eigenvalues), len(self.ntk) - self.train
        matrix = np.zeros((len(self.ntk), len(self.forced)))
        matrix[: self.train, :modes] = self.eigenvectors
        matrix[self.train :, modes : modes + test] = np.eye(test)
        if test:
            matrix[self.train :, modes + test :] = self.through
        return matrix

    # order 0 ------------------------------------------------------------------------------------

    def propagator(self, dynamics: Dynamics) -> Float[np.ndarray, "*times rows rows"]:
        """A_t, which carries initial outputs to outputs of the linear flow (labels zero)."""
        values, Q, m = self.eigenvalues, self.eigenvectors, self.train
        decay = dynamics.divided_differences(values[:, None])
        A = np.zeros((*dynamics.shape, len(self.ntk), len(self.ntk)))
        still = np.eye(m) - Q @ Q.T if len(values) < m else 0.0
        A[..., :m, :m] = (Q * decay[..., None, :]) @ Q.T + still
        A[..., m:, m:] = np.eye(len(self.ntk) - m)
        response = dynamics.divided_differences(np.stack([0 * values, values], -1))
        A[..., m:, :m] = (self.through * response[..., None, :]) @ Q.T
        return A

    def mean(self, dynamics: Dynamics) -> Float[np.ndarray, "*times rows"]:
        """c_t, the outputs of the linear flow that starts from 0."""
        mean = -self.propagator(dynamics)[..., : self.train] @ self.y
        mean[..., : self.train] += self.y
        return mean

    # orders 1 and 2 -----------------------------------------------------------------------------

    def weights(self, term: Term, dynamics: Dynamics) -> Float[np.ndarray, "*times_channels_modes"]:
        """The time factors of a term: one axis of channels, then one per index of the term.

        Raises:
            ValueError: for a term of gradient flow beyond D and gradient descent, or the reverse.
        """
        descent = isinstance(dynamics, GradientDescent)
        if descent is not term.descent and not term.kernel_only:
            raise ValueError(
                f"the {term.name} term is one of gradient {'descent' if term.descent else 'flow'}; "
                f"take those of terms(descent={descent}), which differ as a step of descent also "
                "moves outputs and kernels by its higher powers"
            )
        values, names = self.eigenvalues, term.indices
        step = dynamics.step if isinstance(dynamics, GradientDescent) else 0.0
        shape = (len(values),) * len(names)
        grid = dict(zip(names, np.meshgrid(*[values] * len(names), indexing="ij"), strict=True))
        total: np.ndarray | float = 0.0
        for path in term.paths:
            rest = np.zeros((*shape, len(path.nodes)))
            for place, node in enumerate(path.nodes):
                for i in node:  # λ ∘ λ_i
                    rest[..., place] += grid[i] * (1 - step * rest[..., place])
            factor = np.full(shape, path.coefficient * step**path.power)
            for i in path.decays:
                factor *= 1 - step * grid[i]
            total = total + factor * self._answers(rest, dynamics)
        return np.asarray(total)

    def _answers(self, rest: np.ndarray, dynamics: Dynamics) -> np.ndarray:
        """Divided differences at (λ_i, ρ), (0, ρ) and (0, λ_i, ρ) for all channels."""
        values, test = self.eigenvalues, len(self.ntk) - self.train
        time, shape = len(dynamics.shape), rest.shape[:-1]

        def at(first: np.ndarray) -> np.ndarray:
            lead = first.reshape(len(first), *(1,) * len(shape), -1)
            lead = np.broadcast_to(lead, (len(first), *shape, lead.shape[-1]))
            return dynamics.divided_differences(
                np.concatenate([lead, np.broadcast_to(rest, (len(first), *rest.shape))], -1)
            )

        direct = at(values[:, None])
        if not test:
            return direct
        own = np.repeat(at(np.zeros((1, 1))), test, axis=time)
        return np.concatenate([direct, own, at(np.stack([0 * values, values], -1))], axis=time)

    def terms_of(
        self,
        dynamics: Dynamics,
        outputs: Float[np.ndarray, " rows"],
        tensors: Mapping[str, Float[np.ndarray, "..."]],
        *,
        symmetric: bool,
    ) -> Iterator[tuple[Term, Float[np.ndarray, "*times rows"]]]:
        """The terms of one network, one by one.

        Args:
            dynamics: the times.
            outputs: F, its outputs at initialization (rows,).
            tensors: "D" (rows, train), "T" (rows, train, train), "U" (rows, train, train, train),
                and for gradient descent "S", shaped like T, and "W", "R", "Q", shaped like U; a
                term whose tensor is not given is left out (without "D": the frozen variant).
            symmetric: as in :func:`terms`.

        Raises:
            ValueError: for gradient descent and some of its tensors without the others.

        Yields:
            A term and what it adds to the outputs, (*times, rows).
        """
        values = {"r": self.modes(outputs[: self.train] - self.y, "t")}
        forced = {}
        for name, tensor in tensors.items():
            turned = self.modes(tensor, "r" + "t" * (tensor.ndim - 1))
            forced[name] = turned[self.forced]
            values[name] = turned[: len(self.eigenvalues)]
        descent = isinstance(dynamics, GradientDescent)
        if descent and len(set("TSUWRQ") & set(tensors)) not in (0, 6):
            raise ValueError(
                "T, U, S, W, R and Q belong together in gradient descent, got "
                f"{', '.join(sorted(tensors))}; give all of them, or D alone"
            )
        for term in terms(symmetric=symmetric, frozen="D" not in tensors, descent=descent):
            if not term.tensors <= set(tensors):
                continue
            operands = [forced[f] if i[0] == "x" else values[f] for f, i in term.factors]
            subscripts = ",".join(indices for _, indices in term.factors)
            product = np.einsum(f"{subscripts}->x{term.indices}", *operands, optimize=True)
            weighted = self.weights(term, dynamics) * product
            summed = weighted.sum(tuple(range(-len(term.indices), 0)))
            yield term, summed @ self.channels.T

    def expansion(
        self,
        dynamics: Dynamics,
        outputs: Float[np.ndarray, " rows"],
        tensors: Mapping[str, Float[np.ndarray, "..."]],
        *,
        symmetric: bool,
    ) -> Float[np.ndarray, "orders *times rows"]:
        """Orders 0, 1 and 2 of the outputs of one network; arguments as in :meth:`terms_of`.

        Their partial sums are the predictions of order 0, 1 and 2.
        """
        first = self.propagator(dynamics) @ outputs + self.mean(dynamics)
        orders = np.stack([first, 0 * first, 0 * first])
        for term, value in self.terms_of(dynamics, outputs, tensors, symmetric=symmetric):
            orders[term.order] += value
        return orders
