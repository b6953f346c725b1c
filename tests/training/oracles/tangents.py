"""Θ, O₃ and O₄ of one network by differentiating its outputs along its own gradients."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree


def along_gradients(outputs, rows):
    """function ↦ its derivative along the gradient of each of the first rows, as a last axis."""

    def derivative(function):
        def value(theta):
            gradients = jax.jacobian(outputs)(theta)[:rows]
            each = jax.vmap(lambda g: jax.jvp(function, (theta,), (g,))[1])(gradients)
            return jnp.moveaxis(each, 0, -1)

        return value

    return derivative


def tangents(net, parameters, x, train):
    """f, Θ (rows, train), O₃ and O₄, the newest index last."""
    theta, unravel = ravel_pytree(parameters)

    def outputs(theta):
        return net.apply(unravel(theta), x).ravel()

    along = along_gradients(outputs, train * net.outputs)
    kernel = along(outputs)
    return tuple(jax.jit(f)(theta) for f in (outputs, kernel, along(kernel), along(along(kernel))))
