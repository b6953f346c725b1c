"""How a distance falls with the width: exponents with honest errors, and tests of hypotheses."""

from widthwise.measure.rates.fit import fit_rate as fit_rate
from widthwise.measure.rates.value import Boundedness as Boundedness
from widthwise.measure.rates.value import Hypothesis as Hypothesis
from widthwise.measure.rates.value import RateFit as RateFit
from widthwise.measure.rates.value import RatioTest as RatioTest
