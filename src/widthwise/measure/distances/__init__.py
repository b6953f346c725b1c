"""Distances between laws of outputs: from samples with intervals and floors, or between known laws.

===========================  ============================================  =======================
name                         distance                                      dimensions
===========================  ============================================  =======================
wasserstein                  ∫ |F − G|, or (∫ (F⁻¹ − G⁻¹)²)^{1/2}          1
kolmogorov                   sup |F − G|                                   1
energy                       2 E|X − Y| − E|X − X'| − E|Y − Y'|            any
mmd                          the square, Gaussian kernel                   any
bounded_lipschitz            sup over |h| ≤ 1, Lip(h) ≤ 1                  1; lower bounds in any
sliced_wasserstein           average over projections                      any
max_sliced_wasserstein       maximum over projections                      any
wasserstein2_lower_bound     from projections                              any
===========================  ============================================  =======================

A law is anything with ``cdf`` and ``ppf`` (scipy, :func:`widthwise.exact_law`), :class:`Normal`, or
an Edgeworth series :func:`at_width`. Every result is a :class:`Distance`.
"""

from widthwise.measure.distances.bounded_lipschitz import bounded_lipschitz as bounded_lipschitz
from widthwise.measure.distances.directions import frames as frames
from widthwise.measure.distances.energy import energy as energy
from widthwise.measure.distances.kolmogorov import kolmogorov as kolmogorov
from widthwise.measure.distances.laws import Normal as Normal
from widthwise.measure.distances.laws import at_width as at_width
from widthwise.measure.distances.mmd import mmd as mmd
from widthwise.measure.distances.sliced import max_sliced_wasserstein as max_sliced_wasserstein
from widthwise.measure.distances.sliced import sliced_wasserstein as sliced_wasserstein
from widthwise.measure.distances.sliced import wasserstein2_lower_bound as wasserstein2_lower_bound
from widthwise.measure.distances.value import Distance as Distance
from widthwise.measure.distances.wasserstein import wasserstein as wasserstein
