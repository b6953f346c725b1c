r"""Joint cumulants of the outputs at initialization: any order, any depth, any laws of the weights.

Given the layer below, the neurons of layer l + 1 are independent with **conditional cumulants**

    Y_k = σ_w^r κ_r(W) n_l^{1−r/2} M_k,      M_k = (1/n_l) Σ_j ∏_{a∈k} φ(z_j(a)),

one for every key k: a multiset of r ≥ 2 channels. The recursion carries the joint cumulants of the
Y's, series in ε = n^{-1/2}, from layer to layer. Truncation at ε^P is the only approximation.

Read the files in this order:

* :mod:`.monomials`: polynomials in the Y's, truncated by weight, as arrays over index tables;
* :mod:`.channels`: what a neuron carries, the preactivations at some inputs and, for kernels, their
  tangents;
* :mod:`.preactivation`: expectations over a neuron's law at n = ∞;
* :mod:`.neuron`: the conditional expectations of a neuron as polynomials in the Y's;
* :mod:`.biases`: what biases add to the Y's;
* :mod:`.layer`: the cumulants of the next layer's Y's;
* :mod:`.run`: all layers, the outputs, and the errors.
"""

from widthwise.initial.recursion.layer import key_sizes
from widthwise.initial.recursion.run import Recursion, symmetric_readout, vanishes

__all__ = ["Recursion", "key_sizes", "symmetric_readout", "vanishes"]
