r"""All inputs together through 1/n: mean and covariance of the random kernel.

Given the hidden layers, the outputs of a finite network are independent with the random covariance

    K_ab = σ_b² + σ_w² M_ab,      M_ab = (1/n_L) Σ_j h_j(a) h_j(b),      h = φ(z) of layer L.

Through 1/n its law is told by

    E K = K⁽⁰⁾ + n^{−1/2} K⁽¹⁾ + n^{−1} K⁽²⁾ + …,      Cov(K_ab, K_cd) = n^{−1} V_{abcd} + …

K⁽⁰⁾ is the kernel at n = ∞, K⁽¹⁾ vanishes unless weights are skewed, V is the four-point vertex
(Yaida, MSML 2020; Roberts, Yaida and Hanin, *The Principles of Deep Learning Theory*, 2022, ch. 4).
The fourth cumulant of an output projection follows: κ₄(u·f) = 3 Var(uᵀKu) + what κ₄ of the last
weights adds.

* K⁽¹⁾ and K⁽²⁾ at (a, b) depend on the inputs a and b alone: one recursion for all pairs at once
  (:mod:`.tables`), its expectations by Mehler's series (:mod:`.smooth`) or, at kinks, in polar
  coordinates (:mod:`.kinked`).
* Biases σ_b b/√fan_in vanish as n → ∞ above the first layer; they add to K⁽²⁾ alone.
* Forms ⟨A⊗B, V⟩ come without V from the neurons of each layer (:mod:`.forms`, :mod:`.neurons`).

Truncation in 1/n is the only approximation that does not come with its error; the general
recursion to any order, for few inputs, is :mod:`widthwise.initial.recursion`.
"""

from widthwise.initial.vertex.corrections import KernelCorrections, KernelErrors, kernel_corrections

__all__ = ["KernelCorrections", "KernelErrors", "kernel_corrections"]
