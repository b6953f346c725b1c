"""Linear networks without bias, any laws, any width: moments of the output at x = 1, exactly.

With φ(z) = z the neurons of a layer are exchangeable, so the moments of degree r of layer l are
one number m_λ = E z₁^{λ₁} z₂^{λ₂} … for every integer partition λ of r. Layer by layer

    E ∏_i (Σ_j W_ij z_j)^{λ_i} = ∏_i λ_i! Σ_C (n)_k / ∏ mult! ∏_{c ∈ C} [∏_i E W^{c_i} / c_i!] m_μ,

C over the multisets of k columns c ≠ 0 of non-negative integers that sum to λ (one column per
neuron that takes part), (n)_k = n(n−1)…(n−k+1), μ the sums of the columns.
"""

from collections import Counter
from fractions import Fraction
from functools import cache, lru_cache
from itertools import product
from math import comb, factorial, perm, prod


class ExactLinear:
    """Exact moments and cumulants of one output at the one-dimensional input 1.

    Args:
        net: a linear network without biases.
        width: n.
    """

    def __init__(self, net, width):
        self.net, self.widths = net, net.widths(width)
        self._moments = lru_cache(maxsize=None)(self._layer)

    def cumulant(self, r):
        """κ_r of the output, in rational arithmetic but for the square roots."""
        m = [self._moments(self.net.depth, (k,) if k else ()) for k in range(r + 1)]
        kappa = [Fraction(0)] * (r + 1)
        for p in range(1, r + 1):
            kappa[p] = m[p] - sum(comb(p - 1, j - 1) * kappa[j] * m[p - j] for j in range(1, p))
        return float(kappa[r])

    def _layer(self, l, powers):
        """m_λ of layer l, λ = powers."""
        size, law = sum(powers), self.net.weight_law[l]
        mu = [Fraction(law.moment(k)) for k in range(size + 1)]
        scale = Fraction(float(self.net.weight_std[l])) ** size
        if l == 0:
            return scale * prod(mu[k] for k in powers)
        n, total = self.widths[l - 1], Fraction(0)
        for columns in _columns(powers):
            weight = prod(mu[c] / factorial(c) for column in columns for c in column)
            if weight:
                ways = Fraction(perm(n, len(columns)))
                ways /= prod(map(factorial, Counter(columns).values()))
                sums = tuple(sorted(map(sum, columns), reverse=True))
                total += weight * ways * self._moments(l - 1, sums)
        root = Fraction(n) ** (size // 2) * (Fraction(n**0.5) if size % 2 else 1)
        return scale * prod(map(factorial, powers)) * total / root


@cache
def _columns(total, largest=None):
    """All multisets of columns ≠ 0 that sum to ``total``, as decreasing tuples."""
    if not any(total):
        return [()]
    found = []
    for column in product(*(range(t, -1, -1) for t in total)):
        if any(column) and (largest is None or column <= largest):
            rest = tuple(t - c for t, c in zip(total, column, strict=True))
            found.extend((column, *others) for others in _columns(rest, column))
    return found
