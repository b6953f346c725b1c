"""The training of one network, predicted from its parameters at initialization.

Three engines, all deterministic and exact in what they keep:

* **tensors**: the solution map on the network's own O₃ and O₄, in closed form at every time
  (:mod:`widthwise.training.realization`), for few train rows;
* **shadow**: the same expansion followed step by step without tensors, for many rows, and for
  gradient descent (:mod:`widthwise.training.shadow`);
* **linearization**: where nothing beyond it is asked for, or known: O₃ and O₄ do not describe
  activations with kinks.
"""

from widthwise.training.prediction.predict import predict as predict
from widthwise.training.prediction.reliability import Reliability as Reliability
from widthwise.training.prediction.value import Prediction as Prediction
