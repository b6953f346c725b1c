"""widthwise: the theory of neural networks at large but finite width.

Read the names in this order: choose a network (``MLP``, ``laws``, ``activations``), see its
infinite width (``limit_kernels``, ``linear_flow``), its corrections at initialization
(``output_cumulants``, ``edgeworth``, ``kernel_corrections``), and real networks (``simulate``,
``empirical_ntk``).
"""

from widthwise.model import activations as activations
from widthwise.model import laws as laws
from widthwise.model.architecture import MLP as MLP
from widthwise.model.architecture import Layer as Layer
from widthwise.limit.kernels import LimitKernels as LimitKernels
from widthwise.limit.kernels import limit_kernels as limit_kernels
from widthwise.limit.flow import LinearFlow as LinearFlow
from widthwise.limit.flow import linear_flow as linear_flow
from widthwise.algebra.series import Series as Series
from widthwise.initial.cumulants import OutputCumulants as OutputCumulants
from widthwise.initial.cumulants import output_cumulants as output_cumulants
from widthwise.initial.tangents import NTKStatistics as NTKStatistics
from widthwise.initial.tangents import ntk_statistics as ntk_statistics
from widthwise.initial.edgeworth import Edgeworth as Edgeworth
from widthwise.initial.edgeworth import edgeworth as edgeworth
from widthwise.initial.vertex import KernelCorrections as KernelCorrections
from widthwise.initial.vertex import kernel_corrections as kernel_corrections
from widthwise.finite.ntk import empirical_ntk as empirical_ntk
from widthwise.finite.ensembles import Runs as Runs
from widthwise.finite.ensembles import simulate as simulate
from widthwise.finite.ensembles import simulate_widths as simulate_widths
from widthwise.finite import estimators as estimators

from widthwise._version import __version__ as __version__
