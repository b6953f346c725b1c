"""Constants of the theorems: how fast the Jacobian and the Hessian of a network can change."""
