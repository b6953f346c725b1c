"""Distances from the Gaussian limit as the Edgeworth series predicts them, any depth, any time."""

from widthwise.measure.predicted.distance import PredictedDistance as PredictedDistance
from widthwise.measure.predicted.distance import predicted_distance as predicted_distance
