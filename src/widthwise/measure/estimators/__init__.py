"""Distances from the Gaussian limit measured on networks, below the floor of raw samples."""

from widthwise.measure.estimators.measured import measured_distance as measured_distance
from widthwise.measure.estimators.measured import measured_distances as measured_distances
from widthwise.measure.estimators.value import MeasuredDistance as MeasuredDistance
