r"""The empirical neural tangent kernel of one network,

    Θ_{kk'}(x, x') = Σ_p r_p ∂f_k(x)/∂θ_p · ∂f_{k'}(x')/∂θ_p,

k and k' components of the output, r_p the learning rates of the parametrization (1 for a function
of your own), by the cheapest of three ways:

* **layerwise**, for an :class:`~widthwise.MLP`. With h^l the activations and g^l_k = ∂f_k/∂z^l
  found by one backward pass per component, a sum of products of two Gram matrices per layer,

      Θ_{kk'}(x, x') = Σ_l (r_w σ_w² ⟨h^{l−1}(x), h^{l−1}(x')⟩/n_{l−1} + r_b σ_b²)
                           · ⟨g^l_k(x), g^l_{k'}(x')⟩,

  so that no derivative with respect to a weight is ever formed;
* **jacobian**, for any function: one row ∂f_k(x)/∂θ per point and component, and their products;
* **products**, for any function: the rows of one side, pushed forward through the linearization of
  the network at the other: Θ v = J(x) (J(x')ᵀ v). It wins where all pairs of many outputs are
  wanted and parameters are not shared.

A cost model counts operations and picks. Nothing is approximated: what is left is rounding.

Sources: Jacot, Gabriel & Hongler, Neural Tangent Kernel, NeurIPS 2018, eq. (5); Novak,
Sohl-Dickstein & Schoenholz, Fast Finite Width Neural Tangent Kernel, ICML 2022, §3 (costs of
Jacobian contraction and NTK-vector products) and §3.3 (structured derivatives).
"""

from widthwise.finite.ntk.kernel import empirical_ntk as empirical_ntk
from widthwise.finite.ntk.layerwise import mlp_ntk as mlp_ntk
from widthwise.finite.ntk.precision import NTKDiscrepancy as NTKDiscrepancy
from widthwise.finite.ntk.precision import PrecisionWarning as PrecisionWarning
from widthwise.finite.ntk.precision import ntk_discrepancy as ntk_discrepancy
from widthwise.finite.ntk.products import ntk_vector_product as ntk_vector_product
