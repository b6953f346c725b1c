"""One network of every width of a study, and the proof, where one is found, that it can be trained.

What is certified is gradient descent, with the study's step or 1/λ_max(Θ_0): that proof needs no
width to speak of and takes as many steps as training does. Their number grows like the condition
number of the tangent kernel, so beyond a limit the proof is left to ``widthwise certify``.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from widthwise.certify import Certificate, certify
from widthwise.experiments.data import Dataset
from widthwise.experiments.spec import Spec

_CONDITION = 300.0  # of Θ_∞ on the train points
_WORK = 300_000  # rows times neurons of a layer


@dataclass(frozen=True)
class CertificateAtWidth:
    """The certificate of one network.

    Args:
        width: n.
        certificate: what was proven of it, or why nothing was.
    """

    width: int
    certificate: Certificate


def certificates(
    spec: Spec, dataset: Dataset, eigenvalues: Float[np.ndarray, " train"]
) -> tuple[CertificateAtWidth, ...]:
    """Certificates of gradient descent, a network per width; none where that would take long.

    Args:
        spec: the study; its seed draws the networks.
        dataset: the data, loaded.
        eigenvalues: of Θ_∞ on the train points, increasing.
    """
    if not eigenvalues[0] * _CONDITION > eigenvalues[-1]:
        return ()
    net, x = spec.network(dataset.outputs), dataset.x_train
    step = spec.study.step if spec.study.method == "descent" else None
    found = []
    for width in spec.study.widths:
        if dataset.y_train.size * width > _WORK:
            break
        key = network_key(spec, width)
        parameters = net.init(key, width, x.shape[1])
        made = certify(net, parameters, x, dataset.y_train, dynamics="descent", step=step)
        found.append(CertificateAtWidth(width, made))
    return tuple(found)


def network_key(spec: Spec, width: int) -> jax.Array:
    """Draws the network of a width that is certified, here and by ``widthwise certify``."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(spec.seed), 3), width)
