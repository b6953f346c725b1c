"""The law of the outputs of all networks of a width during training."""

from widthwise.training.law.build import training_law as training_law
from widthwise.training.law.conditions import require_law as require_law
from widthwise.training.law.law import LawErrors as LawErrors
from widthwise.training.law.law import TrainingLaw as TrainingLaw
from widthwise.training.law.measured import measured_law as measured_law
from widthwise.training.law.reliability import Reliability as Reliability
from widthwise.training.law.sampled import SampledLaw as SampledLaw
from widthwise.training.law.value import DenseLaw as DenseLaw
