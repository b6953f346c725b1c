"""Ensembles: throughput against vmap(diffeqsolve), and the share of the matrix-product rate.

    python benchmarks/engine_sections/ensembles.py

Small networks (n = 64, m = 3): networks per second of ``simulate`` and of diffrax's Tsit5 with step
control under ``vmap``, warm. Both errors are measured against a flow integrated to 1e-11, over all
times and points of the first 64 networks; diffrax gets the loosest tolerance, in factors of √10,
whose error is not above ours. The drawing of the networks is part of both times, and the search for
the step part of ours.

Wide networks (n = 1024, m = 64, two hidden layers): operations of a gradient's matrix products,
6 m n², times gradients, per second; the products that move weights inside a Runge–Kutta step are
not counted, and the drawing of the networks is part of the time. The machine's rate is the larger
of numpy's and JAX's on (64 × 1024)(1024 × 1024) and on 1024 × 1024 squares.
"""

import pathlib
import time

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import widthwise as ww

jax.config.update("jax_enable_x64", True)
TIMES = np.array([0.5, 1.0, 2.0])
KEY = jax.random.key(0)


def median_seconds(work, repeats=5):
    jax.block_until_ready(work())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(work())
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def data(train, inputs=3, test=2):
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(train, inputs)),
        rng.normal(size=(train, 1)),
        rng.normal(size=(test, inputs)),
    )


def by_diffrax(net, n, x, y, x_test, members, tolerance):
    """The obvious ensemble: one adaptive solve per network, vmapped."""
    points = jnp.concatenate([jnp.asarray(x), jnp.asarray(x_test)])
    loss = jax.grad(lambda p: 0.5 * jnp.sum((net.apply(p, x) - y) ** 2))

    def one(i):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, p, args: jax.tree.map(jnp.negative, loss(p))),
            diffrax.Tsit5(),
            0.0,
            TIMES[-1],
            None,
            net.init(jax.random.fold_in(KEY, i), n, x.shape[1]),
            saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=10_000,
        )
        return jax.vmap(lambda p: net.apply(p, points))(solution.ys)

    return jax.jit(lambda: jax.vmap(one)(jnp.arange(members)))


def small(depth, members=1024):
    net, (x, y, x_test) = ww.MLP(depth, "tanh", 1.5, 0.3), data(3)
    exact = by_diffrax(net, 64, x, y, x_test, 64, 1e-11)()

    def simulate(count=members):
        return ww.simulate(net, 64, x, y, x_test, TIMES, count, KEY).outputs

    error = float(np.abs(simulate(64) - exact).max())
    for tolerance in 10.0 ** -np.arange(6, 11, 0.5):
        theirs = float(jnp.abs(by_diffrax(net, 64, x, y, x_test, 64, tolerance)() - exact).max())
        if theirs <= error:
            break
    rival = median_seconds(by_diffrax(net, 64, x, y, x_test, members, tolerance), 3)
    mine = median_seconds(simulate, 3)
    print(
        f"n = 64, m = 3, depth {depth}: {members / mine:8.0f} networks/s (error {error:.0e}); "
        f"vmap(diffeqsolve) {members / rival:8.0f} (error {theirs:.0e}); "
        f"ratio {rival / mine:.1f} (goal 5)",
        flush=True,
    )


def machine_rate(dtype=np.float64, n=1024, m=64):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, n)).astype(dtype), rng.normal(size=(n, n)).astype(dtype)
    ja, jb = jnp.asarray(a), jnp.asarray(b)
    product = jax.jit(jnp.matmul)
    skinny = min(median_seconds(f, 9) for f in (lambda: a @ b, lambda: product(ja, jb)))
    square = min(median_seconds(f, 5) for f in (lambda: b @ b, lambda: product(jb, jb)))
    rates = 2 * m * n * n / skinny / 1e9, 2 * n**3 / square / 1e9
    print(f"matrix products: {rates[0]:.0f} GFLOP/s at 64 × 1024 × 1024, {rates[1]:.0f} square")
    return max(rates)


def wide(members=4, n=1024, m=64):
    rate = machine_rate()
    net, (x, y, x_test) = ww.MLP(2, "tanh", 1.5, 0.3), data(m, 8)
    for method, moments, options in (
        ("descent", [40], {"step": 1e-3}),
        ("descent", [200], {"step": 1e-3}),
        ("flow", [0.04], {"step": 0.002, "tolerance": 1e3}),
    ):

        def simulate(moments=moments, method=method, options=options):
            return ww.simulate(
                net, n, x, y, x_test, moments, members, KEY, method=method, **options
            )

        gradients = moments[0] if method == "descent" else 4 * 20
        pilots = 0 if method == "descent" else 3  # a member with the step and with half of it
        flops = 6 * m * n * n * gradients * (members + pilots)
        seconds = median_seconds(lambda simulate=simulate: simulate().outputs, 3)
        reached = flops / seconds / 1e9
        print(
            f"n = {n}, m = {m}, depth 2, {method}, {gradients} gradients: {reached:.0f} GFLOP/s, "
            f"{reached / rate:.0%} of the machine's {rate:.0f} (goal 60 %)",
            flush=True,
        )


def report(rival: pathlib.Path | None = None) -> None:
    """Print the section; the rival runs in this environment, diffrax being a dependency."""
    for depth in (1, 2):
        small(depth)
    wide()


if __name__ == "__main__":
    report()
