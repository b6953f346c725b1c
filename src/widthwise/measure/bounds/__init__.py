r"""Certified upper bounds of the distance between finite networks and the Gaussian process.

One theorem, one file: :mod:`.stein` (Theorem 1), :mod:`.deep` (Theorem 2), :mod:`.gaussian_readout`
(Theorem 3), :mod:`.atoms` (laws with atoms); :mod:`.initial` tries them all. Along training:
:mod:`.uniform` (Theorem T) and :mod:`.statistical` (from trained networks).
"""

from widthwise.measure.bounds.initial import distance_bound as distance_bound
from widthwise.measure.bounds.trained import trained_distance_bound as trained_distance_bound
from widthwise.measure.bounds.value import DistanceBound as DistanceBound
