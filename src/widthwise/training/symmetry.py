"""Whether the mean of O₃ vanishes, which decides the powers of n in everything that trains.

O₃ is odd under every change of sign of parameters that turns f into −f, since Θ is even. Such a
change leaves the law of the parameters alone if for some layer l the weights W^l and the biases of
the layers l … L (the output's bias does not enter O₃) have symmetric laws, and φ is odd where the
sign has to pass through it, that is unless l is the readout.
"""

from widthwise.model.architecture import MLP


def third_vanishes_in_mean(net: MLP) -> bool:
    """Whether E O₃ = 0: a symmetric readout law, or an odd activation of symmetric parameters."""
    if net.weight_law[-1].symmetric:
        return True
    if net.activation.parity != "odd":
        return False
    for l in reversed(range(net.depth)):
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
    sign = 1
    for l in reversed(range(1, net.depth + 1)):
        sign = 1 if net.weight_law[l].symmetric else -sign
        if sign < 0:
            biased = net.has_bias(l - 1) and not net.bias_law[l - 1].symmetric
            if net.activation.parity != "odd" or biased:
                return False
    return sign > 0 or net.weight_law[0].symmetric
