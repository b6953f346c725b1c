"""The picture of required width against depth in docs/width.md.

python docs/figures/required_width.py [docs/assets/required-width.svg]

One input with |x|²/d = 1, Gaussian weights in all layers, weights and biases that keep the signal
alive with depth: relu at its critical scale, tanh and gelu near theirs. Bars are the interval that
the last order leaves open.
"""

import sys
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import widthwise as ww

jax.config.update("jax_enable_x64", True)

OUTPUT = Path(__file__).parents[1] / "assets" / "required-width.svg"
DEPTHS = tuple(range(1, 13))
NETWORKS = {
    "GELU": ("gelu", 1.4, 0.1, "#d55e00", "^"),
    "ReLU": ("relu", 2**0.5, 0.0, "#4c6a92", "o"),
    "tanh": ("tanh", 1.4, 0.1, "#00856a", "s"),
}
X = np.ones((1, 3))


def picture(path: Path) -> None:
    plt.rcParams.update({"font.size": 10, "svg.fonttype": "path", "svg.hashsalt": "width"})
    figure, axes = plt.subplots(figsize=(6.6, 4.2), layout="constrained")
    for tolerance, style in ((0.01, "-"), (0.001, "--")):
        for label, (activation, weight_std, bias_std, color, marker) in NETWORKS.items():
            nets = [ww.MLP(depth, activation, weight_std, bias_std) for depth in DEPTHS]
            needs = [ww.required_width(net, X, tolerance) for net in nets]
            width = np.array([need.width for need in needs])
            open_ = np.abs(np.array([need.uncertainty for need in needs]).T - width)
            look = {"color": color, "marker": marker, "ms": 4.5, "lw": 1.4, "ls": style}
            name = f"{label}, {100 * tolerance:g} %"
            axes.errorbar(DEPTHS, width, open_, capsize=2, label=name, **look)
    axes.set(yscale="log", xlabel="hidden layers", ylabel="required width n", xticks=DEPTHS)
    axes.set_title("Width for a Wasserstein-1 distance of 1 % or 0.1 % of the std", size=10)
    axes.grid(alpha=0.3, which="major")
    axes.legend(ncols=2, fontsize=9, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    picture(target)
    print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
