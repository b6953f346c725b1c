r"""One network at initialization: its outputs, its tangent kernel, and how that will move.

Along gradient flow of ½ Σ (f(x_a) − y_a)², with rows (points × outputs, flattened point by point)
x of all data and β, γ, δ of the train points, J_β = ∂f_β/∂θ and D_γ = J_γ · ∂/∂θ,

    Θ(x, β) = J_x · J_β,      O₃(x, β, γ) = D_γ Θ(x, β),      O₄(x, β, γ, δ) = D_δ O₃(x, β, γ),

the newest index last; O₃ and O₄ are symmetric in their first two indices alone. They are exact for
the network they belong to, for any architecture with three derivatives: O₃ is one forward
derivative of Θ per train row, O₄ one more of that. With them and the solution map
(:mod:`widthwise.training.solution_map`) training is predicted without training, at all times.

The tensors take rows × train³ numbers; for more train rows there is
:mod:`widthwise.training.shadow`.
"""

from widthwise.training.realization.motion import kernel_drift as kernel_drift
from widthwise.training.realization.motion import movement as movement
from widthwise.training.realization.remainder import remainder as remainder
from widthwise.training.realization.tensors import Realization as Realization
from widthwise.training.realization.tensors import realize as realize
