"""The law of the outputs of all networks of a width during training."""

from widthwise.training.law.build import training_law as training_law
from widthwise.training.law.reliability import Reliability as Reliability
from widthwise.training.law.value import LawErrors as LawErrors
from widthwise.training.law.value import TrainingLaw as TrainingLaw
