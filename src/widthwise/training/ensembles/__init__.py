"""Ensembles of really trained networks: cumulants by control variates, and their series in n."""

from widthwise.training.ensembles.build import controlled_ensemble as controlled_ensemble
from widthwise.training.ensembles.build import controlled_ensembles as controlled_ensembles
from widthwise.training.ensembles.richardson import Extrapolation as Extrapolation
from widthwise.training.ensembles.richardson import PowerFit as PowerFit
from widthwise.training.ensembles.richardson import fit_powers as fit_powers
from widthwise.training.ensembles.richardson import richardson as richardson
from widthwise.training.ensembles.value import Controlled as Controlled
from widthwise.training.ensembles.value import ControlledEnsemble as ControlledEnsemble
