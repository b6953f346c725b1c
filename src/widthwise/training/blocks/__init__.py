"""Joint statistics of outputs, tangent kernel and its derivatives at initialization."""

from widthwise.training.blocks.value import AXES as AXES
from widthwise.training.blocks.value import NAMES as NAMES
from widthwise.training.blocks.value import Blocks as Blocks
