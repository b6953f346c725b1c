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
