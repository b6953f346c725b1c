r"""Shadow training: the expansion of one network's training in its deviation from linearization.

Give the parameters of a network the formal variable s, θ(s) = θ₀ + sδ₁ + s²δ₂ + s³δ₃, and let
f(θ(s), x) = f₀ + s c₁ + s² c₂ + s³ c₃ + …  be the Taylor expansion of the outputs along that curve.
With the residual r(s) = (f₀ + c₁ − y) + s c₂ + s² c₃ on the train points, gradient flow of
½ Σ (f(x_a) − y_a)² is, order by order,

    δ̇_{k+1} = −[s^k] J(θ(s))ᵀ r(s),      k = 0, 1, 2,        J = ∂f(X)/∂θ,

δ₁ being the linearization of the network about θ₀. Gradient descent has the same hierarchy with
δ_{k+1} ← δ_{k+1} − η [s^k] J(θ(s))ᵀ r(s), exactly: its steps hold what O₃ and O₄ do not. The
prediction of the outputs is f₀ + c₁ + c₂ + c₃; at width n its error is O(n⁻²) where the mean of O₃
vanishes (symmetric laws), O(n^{−3/2}) otherwise.

No tensor appears: a step is one forward and one backward pass through Taylor coefficients, and
three vectors of parameters are kept, for any function ``apply(parameters, x)``. By

    ∂/∂δ_j  Σ_{i=1}^{3} ⟨r_{3−i}, c_i⟩  =  [s^{3−j}] J(θ(s))ᵀ r(s)       (r_k = [s^k] r),

one reverse pass through (δ₁, δ₂, δ₃) ↦ (c₁, c₂, c₃) gives all three velocities at once.
"""

from widthwise.training.shadow.run import shadow_training as shadow_training
from widthwise.training.shadow.value import ShadowTraining as ShadowTraining
