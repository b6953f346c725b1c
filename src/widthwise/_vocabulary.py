"""The axes every array of this library is made of, named once.

==========  =====================================================================
axis        meaning
==========  =====================================================================
points      rows of the data; where both occur, train points first, then test
points2     rows of a second data set
inputs      coordinates of one data point (the input dimension d)
outputs     components of the network's output
width       neurons of a hidden layer (n)
members     independent networks of an ensemble
times       moments of gradient-flow time, or numbers of gradient-descent steps
nodes       nodes of a quadrature rule
==========  =====================================================================
"""

from collections.abc import Sequence
from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Float

Array: TypeAlias = jax.Array | np.ndarray
ArrayLike: TypeAlias = jax.Array | np.ndarray | Sequence | float | int
"""What a public function takes where it takes numbers; it is checked and converted at once."""

Points: TypeAlias = Float[Array, "points inputs"]
Kernel: TypeAlias = Float[Array, "points points2"]
Gram: TypeAlias = Float[Array, "points points"]
Outputs: TypeAlias = Float[Array, "points outputs"]
Trajectories: TypeAlias = Float[Array, "members times points outputs"]
