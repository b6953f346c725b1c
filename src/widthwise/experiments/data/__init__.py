"""The data of a study: a few train and test points, drawn from a named set or from a file.

From ``[data]`` and the seed to a :class:`Dataset`, in this order: read a table of points; keep the
chosen classes; draw train and test points without replacement (for classes: one class after the
other in turn, so that they are as balanced as the table allows); scale inputs and targets by the
train points alone. What was decided on the way stands in words in ``Dataset.description``.

Targets: a regression has labels of mean 0 and variance 1; two classes have one output, −1 or +1;
C > 2 classes have C outputs, 1 − 1/C for the class of a point and −1/C for the others.
"""

from widthwise.experiments.data.dataset import Dataset as Dataset
from widthwise.experiments.data.dataset import load as load
