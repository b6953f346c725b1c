"""Joint statistics of outputs, tangent kernel and its derivatives at initialization."""

from widthwise.training.blocks.choice import initial_blocks as initial_blocks
from widthwise.training.blocks.choice import require_descent as require_descent
from widthwise.training.blocks.choice import (
    require_network_of_blocks as require_network_of_blocks,
)
from widthwise.training.blocks.one_hidden import one_hidden_blocks as one_hidden_blocks
from widthwise.training.blocks.value import AXES as AXES
from widthwise.training.blocks.value import NAMES as NAMES
from widthwise.training.blocks.value import Blocks as Blocks
