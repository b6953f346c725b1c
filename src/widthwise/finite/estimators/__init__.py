"""Estimators from samples of networks, each with a standard error.

* :class:`PowerSums`: unbiased (joint) cumulants to order 6, streaming and mergeable over workers;
* :func:`jackknife`, :func:`bootstrap`: the standard error of any statistic;
* the conditional estimators, far less noisy for untrained networks: :func:`fourth_cumulant`,
  :func:`distribution`, :func:`density`, and :func:`wasserstein` of a distribution.
"""

from widthwise.finite.estimators.conditional import ConditionalMoments as ConditionalMoments
from widthwise.finite.estimators.conditional import Curve as Curve
from widthwise.finite.estimators.conditional import density as density
from widthwise.finite.estimators.conditional import distribution as distribution
from widthwise.finite.estimators.conditional import fourth_cumulant as fourth_cumulant
from widthwise.finite.estimators.conditional import fourth_k_statistic as fourth_k_statistic
from widthwise.finite.estimators.conditional import has_conditional_law as has_conditional_law
from widthwise.finite.estimators.conditional import mean as mean
from widthwise.finite.estimators.conditional import root_mean_square as root_mean_square
from widthwise.finite.estimators.conditional import variance as variance
from widthwise.finite.estimators.conditional import wasserstein as wasserstein
from widthwise.finite.estimators.power_sums import PowerSums as PowerSums
from widthwise.finite.estimators.resampling import bootstrap as bootstrap
from widthwise.finite.estimators.resampling import jackknife as jackknife
