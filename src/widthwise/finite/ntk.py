"""The empirical neural tangent kernel Θ = J Jᵀ of one network, without its Jacobian.

For the perceptron, with g^l_k = ∂f_k/∂z^l found by one backward pass per output component,

    Θ_{kk'}(x, x') = Σ_l (r_w σ_w² ⟨h^{l−1}(x), h^{l−1}(x')⟩/n_{l−1} + r_b σ_b²)
                         · ⟨g^l_k(x), g^l_{k'}(x')⟩,

a sum over layers of Hadamard products of two Gram matrices.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike
from widthwise.model.architecture import MLP, Parameters


def empirical_ntk(
    apply: MLP | Callable,
    parameters: PyTree,
    x: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    width: int | None = None,
) -> Float[Array, "points points2"]:
    """The empirical NTK, averaged over output components (its trace divided by their number).

    Args:
        apply: an :class:`MLP` (or its ``apply``) for the layerwise formula, or any function
            ``apply(parameters, x) -> (points, outputs)``.
        parameters: what ``apply`` takes, any tree of arrays.
        x: data (points, inputs).
        x2: second data set; ``None`` means ``x``.
        width: n of an :class:`MLP` whose ratios are not 1, in the standard parametrization;
            otherwise it is read off the parameters.

    Returns:
        Θ of shape (points, points2).

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=1, activation="erf")
        >>> parameters = net.init(jax.random.key(0), width=8, inputs=1)
        >>> ww.empirical_ntk(net, parameters, [[1.0], [2.0]]).shape
        (2, 2)
    """
    checks.require_x64()
    x = jnp.asarray(checks.points(x))
    other = x if x2 is None else jnp.asarray(checks.points(x2, "x2"))
    checks.same_inputs(x, other)
    net = apply if isinstance(apply, MLP) else getattr(apply, "__self__", None)
    if isinstance(net, MLP):
        return mlp_ntk(net, parameters, x, other, _width(net, parameters, width))
    function: Callable = apply  # pyright: ignore[reportAssignmentType]
    return _jacobian_ntk(function, parameters, x, other)


def _width(net: MLP, parameters: Parameters, width: int | None) -> int:
    """The n whose layer widths these are."""
    sizes = tuple(layer.weight.shape[0] for layer in parameters[:-1])
    widest = max(range(net.depth), key=lambda l: net.ratios[l])
    n = round(sizes[widest] / net.ratios[widest]) if width is None else checks.width(width)
    if net.widths(n) != sizes:
        raise ValueError(
            f"the parameters have hidden widths {sizes}, but this network has {net.widths(n)} at "
            f"n = {n}; pass the network they belong to, and width="
        )
    return n


@eqx.filter_jit
def mlp_ntk(
    net: MLP, parameters: Parameters, x: Array, x2: Array, width: int
) -> Float[Array, "points points2"]:
    """The layerwise formula for one network of width n."""
    net = net.at_width(width, x.shape[1])
    rates = net.learning_rates(width, x.shape[1])
    rows, columns = _features(net, parameters, x), _features(net, parameters, x2)
    theta = jnp.zeros((len(x), len(x2)))
    for l, ((h, g), (h2, g2)) in enumerate(zip(rows, columns, strict=True)):
        gram = rates[l].weight * net.weight_std[l] ** 2 / h.shape[1] * (h @ h2.T)
        if net.has_bias(l):
            gram = gram + rates[l].bias * net.bias_std[l] ** 2
        theta = theta + gram * jnp.einsum("kai,kbi->ab", g, g2)
    return theta / net.outputs


def _features(net: MLP, parameters: Parameters, x: Array) -> list[tuple[Array, Array]]:
    """(h^{l−1} (points, n_{l−1}), ∂f/∂z^l (outputs, points, n_l)) of every layer."""
    h, activations, slopes = x, [x], []
    slope = net.activation.derivative()
    for l, layer in enumerate(parameters[:-1]):
        z = net.weight_std[l] / jnp.sqrt(h.shape[1] * 1.0) * (h @ layer.weight.T)
        if layer.bias is not None:
            z = z + net.bias_std[l] * layer.bias
        h = net.activation(z)
        activations.append(h)
        slopes.append(slope(z))
    g = jnp.broadcast_to(jnp.eye(net.outputs)[:, None], (net.outputs, len(x), net.outputs))
    gradients = [g]
    for l in range(net.depth, 0, -1):
        scale = net.weight_std[l] / jnp.sqrt(activations[l].shape[1] * 1.0)
        g = scale * (g @ parameters[l].weight) * slopes[l - 1]
        gradients.append(g)
    return list(zip(activations, gradients[::-1], strict=True))


def _jacobian_ntk(apply: Callable, parameters: PyTree, x: Array, x2: Array) -> Array:
    def rows(points):
        jacobian = jax.jacrev(lambda tree: apply(tree, points))(parameters)
        leaves = jax.tree.leaves(jacobian)
        outputs = jax.eval_shape(apply, parameters, points).shape[1]
        return [leaf.reshape(len(points), outputs, -1) for leaf in leaves], outputs

    first, outputs = rows(x)
    second = first if x2 is x else rows(x2)[0]
    total = sum(jnp.einsum("akp,bkp->ab", J, J2) for J, J2 in zip(first, second, strict=True))
    return jnp.asarray(total) / outputs
