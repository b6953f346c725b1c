"""What a certificate costs: CPU seconds of one process, at the second call."""

import time

import widthwise as ww
from certificate_sections._cells import drawn, sphere
from widthwise.certify import certify

ERF = ww.MLP(1, "erf")


def _halved(data):
    """Labels ±1/2: with ±1 the linear reference is refused at these widths."""
    return data._replace(y=data.y / 2)


def report(_):
    print("| certificate | CPU seconds | holds |\n|---|---|---|")
    for name, data, n, method, dynamics, arithmetic in (
        (
            "linear reference, m=10, n=1000, labels ±1/2",
            _halved(sphere(10, 10)),
            1000,
            "linear_reference",
            "flow",
            "margins",
        ),
        ("descent trajectory, m=50, n=512", sphere(50, 50), 512, "auto", "descent", "margins"),
        ("the same in intervals", sphere(50, 50), 512, "auto", "descent", "interval"),
    ):
        parameters = drawn(ERF, n, data.x.shape[1])
        used = []
        for _ in range(2):  # the first run compiles
            start = time.process_time()
            made = certify(ERF, parameters, data.x, data.y, method, dynamics, None, arithmetic)
            used.append(time.process_time() - start)
        print(f"| {name} | {used[-1]:.2f} | {made.holds} |", flush=True)
