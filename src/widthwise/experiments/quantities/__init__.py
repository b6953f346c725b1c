"""What a study computes: one quantity in one file, and the function that computes one job.

A quantity says which fields of a grid point it reads, computes one block of networks, merges blocks
in their order, and names the axes of the result (:class:`Quantity`). Numerics end here: labels,
disks and workers stand above.
"""

from widthwise.experiments.quantities.compute import QUANTITIES as QUANTITIES
from widthwise.experiments.quantities.compute import compute as compute
from widthwise.experiments.quantities.compute import refusal as refusal
from widthwise.experiments.quantities.coverage import NotCovered as NotCovered
from widthwise.experiments.quantities.quantity import Quantity as Quantity
from widthwise.experiments.quantities.quantity import Result as Result
