"""Floor 8: certificates that training converges, with explicit constants.

``certify`` proves it of one network from its parameters and data; ``certified_width`` finds widths
at which random networks are certified with a stated probability; ``kernel_positivity`` says why the
tangent kernel is, or is not, positive.
"""

from widthwise.certify.certificate import Certificate as Certificate
from widthwise.certify.certificate import Hypothesis as Hypothesis
from widthwise.certify.positivity import KernelPositivity as KernelPositivity
from widthwise.certify.positivity import kernel_positivity as kernel_positivity
from widthwise.certify.posterior.certify import certify as certify
from widthwise.certify.prior.value import CertifiedWidth as CertifiedWidth
from widthwise.certify.prior.width import certified_width as certified_width
