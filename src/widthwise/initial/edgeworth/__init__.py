"""The Edgeworth series: from cumulants in powers of n^{-1/2} to laws.

Let κ_α = Σ_k ε^k κ_α^{(k)}, ε = n^{-1/2}, be the joint cumulants of some outputs or projections of
outputs, and K = κ_2^{(0)} their limiting covariance. With

    Λ(t) = Σ_α (κ_α − K 1[|α| = 2]) t^α / α! = O(ε),        exp Λ(t) = Σ_α c_α(ε) t^α,

every c_α truncated after ε^P, the density and the expectations are

    p(z) = N(z; 0, K) Σ_α c_α He_α(z; K),        E f(Z) = Σ_α c_α E_{N(0,K)}[f He_α],

with He_α(z; K) = (−∂)^α N(z; 0, K) / N(z; 0, K) (Petrov 1975, ch. VI; McCullagh 1987, ch. 5). The
series is asymptotic: a truncation can be negative in the tails, at a small width a lower order may
be better than the highest, and densities and distribution functions need Cramér's condition, which
a law on a lattice does not satisfy. ``diagnose`` says which of this happens.

An output bias that is not Gaussian has no part in the series and is added exactly (:mod:`.bias`);
biases that shrink with the width enter with the size they have there
(:meth:`~.law.EdgeworthLaw.at_width`).
"""

from widthwise.initial.edgeworth.build import edgeworth as edgeworth
from widthwise.initial.edgeworth.diagnosis import LawDiagnosis as LawDiagnosis
from widthwise.initial.edgeworth.draws import Draws as Draws
from widthwise.initial.edgeworth.expectations import Expectation as Expectation
from widthwise.initial.edgeworth.joint import JointEdgeworth as JointEdgeworth
from widthwise.initial.edgeworth.lattice import CramerScan as CramerScan
from widthwise.initial.edgeworth.projection import Edgeworth as Edgeworth
