r"""How fast training forgets its width: the statement of kernel theory, measured in one table.

Of networks of several widths n, trained from independent initializations, the largest over times of

    ‖Θ_n(t) − Θ_∞‖,      ‖Θ_n(t) − Θ_n(0)‖,      ‖f_t − f_t^{lin}‖

are measured, f^{lin} being either the linear flow of the limit kernel Θ_∞ or the linearization of
the network, the linear flow of its own Θ_n(0), both from the network's own f₀. Theory:

* Θ_n(t) − Θ_∞ and f_t − f_t^{lin} about Θ_∞ are of order n^{−1/2}, the fluctuation of Θ_n(0);
* Θ_n(t) − Θ_n(0), and f_t − f_t^{lin} about Θ_n(0), are −∫ O₃ r dt to leading order: n^{−1} where
  the mean of O₃ vanishes (a symmetric readout law, or an odd activation of symmetric parameters),
  n^{−1/2} otherwise.

Beside the exponents stand the constants: theory predicts the root mean square over networks of each
norm at every time, to leading order in n (:mod:`.constants`), and its largest value over times is
compared with the same of the networks. It is not the mean of the largest norms over times whose
exponents are fitted, which has no such expression.

Norms are Euclidean (Frobenius for kernels) over all points and train points; averages are over
networks, with standard errors.
"""

from widthwise.training.rates.measure import ntk_rates as ntk_rates
from widthwise.training.rates.value import Constant as Constant
from widthwise.training.rates.value import NTKRates as NTKRates
from widthwise.training.rates.value import Rate as Rate
