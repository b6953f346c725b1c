r"""Joint statistics of (f₀, Θ_n, O_3, O_4) at initialization for networks of any depth.

Derivatives of outputs along random directions of the parameters are themselves channels of a random
network, so one recursion from layer to layer gives every joint cumulant that training through 1/n
takes. Exact in the coefficients of n^{-1/2} and n^{-1}; Gaussian means are by quadrature, with
errors. Read the files in this order:

* :mod:`.observables`: what a neuron gives to the next layer, and how that responds to the law of
  the neuron; :mod:`.names`: what tensors are called;
* :mod:`.layers`: the numbers a layer has; which networks are refused, and why;
* :mod:`.pairs`, :mod:`.nodes`, :mod:`.moments`: means of products of derivatives of φ;
* :mod:`.recursion`: from layer to layer;
* :mod:`.dictionary`: from channels of the output to O_3 and O_4;
* :mod:`.build`: all of it.
"""

from widthwise.training.blocks.deep.build import deep_blocks, require_deep

__all__ = ["deep_blocks", "require_deep"]
