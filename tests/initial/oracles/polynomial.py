"""Networks with polynomial φ, any laws: all cumulants exactly, as polynomials in ε = n^{-1/2}."""

import itertools
from collections import Counter
from functools import lru_cache
from math import comb, prod

import numpy as np

from widthwise.algebra.partitions import mobius, set_partitions


class ExactPolynomial:
    """All moments of a network with polynomial φ, exactly, as polynomials in ε = n^{-1/2}.

    E ∏ (Σ_j W_ij h_j) over positions (neuron i, channel a) is a sum over set partitions of the
    positions by equal j: (ρn)(ρn − 1)… ways, moments of W, moments of products of h of distinct
    neurons, which are moments of products of powers of z.
    """

    def __init__(self, net, x, powers):
        self.net, self.x, self.powers = net, np.asarray(x), powers
        self.moment = lru_cache(maxsize=None)(self._moment)
        self.sums = lru_cache(maxsize=None)(self._sums)
        self.first = lru_cache(maxsize=None)(self._first)
        self.source = lru_cache(maxsize=None)(self._source)
        self.expanded = lru_cache(maxsize=None)(self._expanded)

    def cumulant(self, points, components):
        total = 0
        for partition in set_partitions(len(points)):
            term = np.ones(1) * mobius(len(partition))
            for B in partition:
                groups = {}
                for i in B:
                    groups.setdefault(components[i], []).append(points[i])
                neurons = tuple(sorted(tuple(sorted(g)) for g in groups.values()))
                term = np.convolve(term, self.moment(self.net.depth, neurons))
            total = _plus(total, term)
        return total

    def _moment(self, l, neurons):
        if l == 0:
            return np.ones(1) * prod(self.first(neuron) for neuron in neurons)
        net, total = self.net, 0
        scale = float(net.bias_std[l])
        choices = [list(itertools.product((0, 1), repeat=len(n))) for n in neurons]
        if not scale:
            choices = [[(0,) * len(n)] for n in neurons]
        tally = Counter()
        for choice in itertools.product(*choices):
            weight, rest = 1.0, []
            for neuron, taken in zip(neurons, choice, strict=True):
                k = sum(taken)
                weight *= scale**k * net.bias_law[l].moment(k) if k else 1.0
                rest.append(tuple(a for a, t in zip(neuron, taken, strict=True) if not t))
            tally[tuple(sorted(r for r in rest if r))] += weight
        for rest, weight in tally.items():
            if weight:
                total = _plus(total, weight * self.sums(l, rest))
        return total

    def _first(self, neuron):
        """E ∏ z_a of the first layer from its cumulants."""
        if not neuron:
            return 1.0
        total, others = 0.0, Counter(neuron[1:])
        for taken in itertools.product(*(range(c + 1) for c in others.values())):
            chosen = dict(zip(others, taken, strict=True))
            block = (neuron[0], *(a for a in others for _ in range(chosen[a])))
            kappa = self.source(tuple(sorted(block)))
            if kappa:
                rest = tuple(a for a in others for _ in range(others[a] - chosen[a]))
                ways = prod(comb(others[a], chosen[a]) for a in others)
                total += ways * kappa * self.first(tuple(sorted(rest)))
        return total

    def _source(self, block):
        net, d, r = self.net, self.x.shape[1], len(block)
        weights = net.weight_law[0].cumulant(r) * (float(net.weight_std[0]) / d**0.5) ** r
        bias = float(net.bias_std[0]) ** r * net.bias_law[0].cumulant(r)
        return weights * self.x[list(block)].prod(0).sum() + bias

    def _sums(self, l, neurons):
        """E ∏_i ∏_{a ∈ neuron i} (σ/√(ρn)) Σ_j W_ij φ(z_j(a))."""
        positions = [(i, a) for i, neuron in enumerate(neurons) for a in neuron]
        q, law = len(positions), self.net.weight_law[l]
        if not q:
            return np.ones(1)
        tally = Counter()
        for partition in set_partitions(q):
            weight = 1.0
            for B in partition:
                for count in Counter(positions[p][0] for p in B).values():
                    weight *= law.moment(count)
                if not weight:
                    break
            if weight:
                tally[
                    tuple(sorted(tuple(sorted(positions[p][1] for p in B)) for B in partition))
                ] += weight
        total, rho = 0, self.net.ratios[l - 1]
        for blocks, weight in tally.items():
            term = np.convolve(_falling(len(blocks), q, rho), self._features(l - 1, blocks))
            total = _plus(total, weight * term)
        return float(self.net.weight_std[l]) ** q * total

    def _features(self, l, blocks):
        """E of ∏ φ(z_j(a)) over distinct neurons j, a ∈ block j."""
        tally = Counter()
        for chosen in itertools.product(*map(self.expanded, blocks)):
            key = tuple(sorted(z for z, _ in chosen if z))
            tally[key] += prod(weight for _, weight in chosen)
        total = 0
        for neurons, weight in tally.items():
            total = _plus(total, weight * (self.moment(l, neurons) if neurons else np.ones(1)))
        return total

    def _expanded(self, block):
        """The powers of z, with their weights, in ∏ φ(z_a), a ∈ block."""
        terms = {(): 1.0}
        for a in block:
            grown = Counter()
            for (z, weight), (k, c) in itertools.product(terms.items(), enumerate(self.powers)):
                if c:
                    grown[tuple(sorted(z + (a,) * k))] += weight * c
            terms = grown
        return list(terms.items())


def _plus(a, b):
    a, b = np.atleast_1d(a), np.atleast_1d(b)
    size = max(len(a), len(b))
    return np.pad(a.astype(float), (0, size - len(a))) + np.pad(b, (0, size - len(b)))


def _falling(k, q, rho):
    """(ρn)(ρn − 1)…(ρn − k + 1) (ρn)^{−q/2} in powers of n^{-1/2}."""
    falling = np.poly(range(k))[::-1]  # coefficients of N^0 … N^k
    result = np.zeros(q + 1)
    for i, c in enumerate(falling):
        if c:
            result[q - 2 * i] += c * rho ** (i - q / 2)
    return result
