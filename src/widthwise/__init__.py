"""widthwise: the theory of neural networks at large but finite width.

Read the names in this order: choose a network (``MLP``, ``laws``, ``activations``), see its
infinite width (``limit_kernels``, ``linear_flow``), its corrections at initialization
(``output_cumulants``, ``edgeworth``, ``required_width``, ``kernel_corrections``), the laws known
exactly there (``exact_law``), real networks (``simulate``, ``empirical_ntk``), and training at
finite width (``training_law`` for all networks, ``predict`` for one, ``controlled_ensemble`` of
really trained ones; ``certify`` proves that a network's training converges), and how far the law is
from its limit (``distances``, ``exact_distance``, ``predicted_distance``, ``fit_rate``).
"""

from widthwise.model import activations as activations
from widthwise.model import laws as laws
from widthwise.model.architecture import MLP as MLP
from widthwise.model.architecture import Layer as Layer
from widthwise.limit.kernels import LimitKernels as LimitKernels
from widthwise.limit.kernels import limit_kernels as limit_kernels
from widthwise.limit.flow import LinearFlow as LinearFlow
from widthwise.limit.flow import linear_flow as linear_flow
from widthwise.limit.gp import LimitGP as LimitGP
from widthwise.limit.gp import limit_gp as limit_gp
from widthwise.limit.gp import log_marginal_likelihood as log_marginal_likelihood
from widthwise.limit.stored import StoredKernels as StoredKernels
from widthwise.limit.stored import store_limit_kernels as store_limit_kernels
from widthwise.algebra.series import Series as Series
from widthwise.initial.cumulants import OutputCumulants as OutputCumulants
from widthwise.initial.cumulants import output_cumulants as output_cumulants
from widthwise.initial.tangents import NTKStatistics as NTKStatistics
from widthwise.initial.tangents import ntk_statistics as ntk_statistics
from widthwise.initial.edgeworth import Edgeworth as Edgeworth
from widthwise.initial.edgeworth import JointEdgeworth as JointEdgeworth
from widthwise.initial.edgeworth import edgeworth as edgeworth
from widthwise.initial.edgeworth import LawDiagnosis as LawDiagnosis
from widthwise.initial.edgeworth import CramerScan as CramerScan
from widthwise.initial.edgeworth import Expectation as Expectation
from widthwise.initial.edgeworth import Draws as Draws
from widthwise.initial.exact import ExactLaw as ExactLaw
from widthwise.initial.exact import exact_law as exact_law
from widthwise.initial.required_width import RequiredWidth as RequiredWidth
from widthwise.initial.required_width import required_width as required_width
from widthwise.initial.vertex import KernelCorrections as KernelCorrections
from widthwise.initial.vertex import kernel_corrections as kernel_corrections
from widthwise.finite.ntk import empirical_ntk as empirical_ntk
from widthwise.finite.ntk import ntk_vector_product as ntk_vector_product
from widthwise.finite.ntk import ntk_discrepancy as ntk_discrepancy
from widthwise.finite.ntk import NTKDiscrepancy as NTKDiscrepancy
from widthwise.finite.ntk import PrecisionWarning as PrecisionWarning
from widthwise.finite.ensembles import Runs as Runs
from widthwise.finite.ensembles import simulate as simulate
from widthwise.finite.ensembles import simulate_widths as simulate_widths
from widthwise.finite import estimators as estimators

from widthwise.training.law import TrainingLaw as TrainingLaw
from widthwise.training.law import training_law as training_law
from widthwise.training.law import measured_law as measured_law
from widthwise.training.ensembles import ControlledEnsemble as ControlledEnsemble
from widthwise.training.ensembles import controlled_ensemble as controlled_ensemble
from widthwise.training.ensembles import controlled_ensembles as controlled_ensembles
from widthwise.training.ensembles import Extrapolation as Extrapolation
from widthwise.training.ensembles import richardson as richardson
from widthwise.training.prediction import Prediction as Prediction
from widthwise.training.prediction import predict as predict
from widthwise.training.shadow import ShadowTraining as ShadowTraining
from widthwise.training.shadow import shadow_training as shadow_training
from widthwise.training.rates import NTKRates as NTKRates
from widthwise.training.rates import ntk_rates as ntk_rates
from widthwise.measure import distances as distances
from widthwise.measure.exact import exact_distance as exact_distance
from widthwise.measure.predicted import PredictedDistance as PredictedDistance
from widthwise.measure.predicted import predicted_distance as predicted_distance
from widthwise.measure.estimators import MeasuredDistance as MeasuredDistance
from widthwise.measure.estimators import measured_distance as measured_distance
from widthwise.measure.estimators import measured_distances as measured_distances
from widthwise.measure.bounds import DistanceBound as DistanceBound
from widthwise.measure.bounds import distance_bound as distance_bound
from widthwise.measure.bounds import trained_distance_bound as trained_distance_bound
from widthwise.measure.rates import RateFit as RateFit
from widthwise.measure.rates import fit_rate as fit_rate
from widthwise.certify import Certificate as Certificate
from widthwise.certify import certify as certify
from widthwise.certify import CertifiedWidth as CertifiedWidth
from widthwise.certify import certified_width as certified_width
from widthwise.certify import KernelPositivity as KernelPositivity
from widthwise.certify import kernel_positivity as kernel_positivity
from widthwise.experiments.study import Study as Study

from widthwise._version import __version__ as __version__
