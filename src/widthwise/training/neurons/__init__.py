"""The law during training neuron by neuron: see :mod:`widthwise.training.neurons.law`."""

from widthwise.training.neurons.conditions import require_neurons as require_neurons
from widthwise.training.neurons.law import ScalableLaw as ScalableLaw
from widthwise.training.neurons.law import scalable_law as scalable_law
from widthwise.training.neurons.problem import unavailable as unavailable
