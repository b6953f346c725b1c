"""What symmetry makes vanish, which decides the powers of n in everything that trains.

O₃ is odd under every change of sign of parameters that turns f into −f, since Θ is even. Such a
change leaves the law of the parameters alone if for some layer l the weights W^l and the biases of
the layers l … L (the output's bias does not enter O₃) have symmetric laws, and φ is odd where the
sign has to pass through it, that is unless l is the readout.

Powers n^{−1/2}, n^{−3/2}, … of even quantities come from third cumulants of weights. Those of W^l,
l ≥ 1, multiply the mean of a product of three features of the layer below, which vanishes if a
change of sign reaches that layer in the same way.
"""

from widthwise.model.architecture import MLP


def third_vanishes_in_mean(net: MLP) -> bool:
    """Whether E O₃ = 0: a symmetric readout law, or an odd activation of symmetric parameters."""
    return net.weight_law[-1].symmetric or _sign_passes(net, net.depth)


def third_is_of_order_one_over_n(net: MLP) -> bool:
    """Whether E O₃ has no term n^{−1/2}: then the mean of the kernel's drift goes like 1/n."""
    return third_vanishes_in_mean(net) or integer_powers(net)


def _sign_passes(net: MLP, top: int) -> bool:
    """Whether some change of sign below layer ``top`` turns the features it reads into minus."""
    if net.activation.parity != "odd":
        return False
    for l in reversed(range(top)):
        if net.has_bias(l) and not net.bias_law[l].symmetric:
            return False
        if net.weight_law[l].symmetric:
            return True
    return False


def integer_powers(net: MLP) -> bool:
    """Whether only integer powers of 1/n occur in cumulants of outputs and kernels.

    A half-integer power carries an odd number of odd cumulants of the weights W^1 … W^L. Mirroring
    the skewed ones among them must therefore leave the law of the network alone: by signs s_l of
    the preactivations of layer l, W^l ↦ s_{l+1} s_l W^l, s = 1 for the output. Kinks, which bring
    powers of their own, are no part of this.
    """
    if net.bias_scaling == "fan_in" and not all(
        law.symmetric for l, law in enumerate(net.bias_law) if l and net.has_bias(l)
    ):
        return False
    signs = {1}  # that the preactivations above may take
    for l in reversed(range(1, net.depth + 1)):
        signs = {1, -1} if net.weight_law[l].symmetric else {-sign for sign in signs}
        biased = net.has_bias(l - 1) and not net.bias_law[l - 1].symmetric
        if net.activation.parity != "odd" or biased:
            signs -= {-1}
        if not signs:
            return False
    return 1 in signs or net.weight_law[0].symmetric
