"""A made-up study with the shapes, sizes and power laws of a real one, in a tenth of a second.

The output at initialization is √K·Z with K gamma distributed, so κ₄ = 3 Var K = 6 σ⁴/n; training
trajectories are the exact linear flow of a small kernel plus a smooth bump of size n^{-1/2}.
"""

from dataclasses import replace

import numpy as np
from scipy.stats import norm

from widthwise.certify import Certificate
from widthwise.experiments.certificates import CertificateAtWidth
from widthwise.experiments.comparison import AtWidth, Comparison, Density, Measured, Slope
from widthwise.experiments.data import Dataset
from widthwise.experiments.spec import Spec

WIDTHS = (32, 64, 128, 256, 512)
SIGMA = 1.3
TRAIN, TEST = 4, 3
MEMBERS, INITIAL = 200, 60_000
TIMES = [0.0, *np.geomspace(0.05, 5.0, 24).round(4).tolist()]


def specification(**fields) -> Spec:
    return Spec.from_mapping(
        {
            "title": "Diabetes: tanh, one hidden layer",
            "data": {"name": "diabetes", "train": TRAIN, "test": TEST},
            "network": {"activation": "tanh", "weight_std": 1.5, "bias_std": 0.3},
            "study": {"widths": list(WIDTHS), "initial_members": INITIAL, "times": TIMES},
        }
        | fields
    )


def data() -> Dataset:
    rng = np.random.default_rng(1)
    return Dataset(
        name="diabetes",
        x_train=rng.normal(size=(TRAIN, 3)),
        y_train=np.array([[1.0], [-0.8], [0.3], [-0.2]]),
        x_test=rng.normal(size=(TEST, 3)),
        y_test=np.array([[0.4], [-0.5], [0.1]]),
        feature_count=3,
        description=(
            "measurements of patients and the progression of their diabetes a year later",
            "4 train and 3 test points drawn at random",
            "inputs scaled to mean 0 and variance 1",
        ),
        hash="a3f2c99e01b4",
    )


def comparison(*, widths=WIDTHS, initial=INITIAL) -> Comparison:
    dataset = data()
    spec = specification()
    rng = np.random.default_rng(7)
    times = np.array(spec.study.times)
    y = dataset.y_train[:, 0]
    x = np.concatenate([dataset.x_train, dataset.x_test])
    K = SIGMA**2 * np.exp(-0.25 * ((x[:, None] - x[None]) ** 2).sum(-1))
    theta = 1.5 * K
    eigenvalues, vectors = np.linalg.eigh(theta[:TRAIN, :TRAIN])
    flow = np.zeros((len(times), TRAIN + TEST, TRAIN + TEST))
    for i, t in enumerate(times):
        flow[i, :TRAIN, :TRAIN] = (vectors * np.exp(-t * eigenvalues)) @ vectors.T
        response = -(1 - np.exp(-t * eigenvalues)) / eigenvalues
        flow[i, TRAIN:, :TRAIN] = theta[TRAIN:, :TRAIN] @ (vectors * response) @ vectors.T
        flow[i, TRAIN:, TRAIN:] = np.eye(TEST)
    start = np.concatenate([y, np.zeros(TEST)])
    mean = start - np.einsum("tij,j->ti", flow[:, :, :TRAIN], y)
    cov = flow @ K @ np.swapaxes(flow, 1, 2)
    std = np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2), 0))
    z = np.linspace(-6 * SIGMA, 6 * SIGMA, 601)
    gaussian = norm.pdf(z, scale=SIGMA)
    root = np.linalg.cholesky(K + 1e-12 * np.eye(len(K)))
    at, densities = [], []
    for n in widths:
        k4 = 6 * SIGMA**4 / n
        samples = np.sqrt(rng.gamma(n / 2, 2 / n, initial)) * rng.normal(size=initial) * SIGMA
        k4_error = 0.02 * k4
        u = z / SIGMA
        corrected = gaussian * (1 + k4 / SIGMA**4 / 24 * (u**4 - 6 * u**2 + 3))
        w1 = float(np.trapezoid(np.abs(np.cumsum(corrected - gaussian) * (z[1] - z[0])), z))
        bump = times * np.exp(-times / 1.5)
        theory = 1.1 / np.sqrt(n) * bump[:, None] * (0.6 + 0.15 * np.arange(TRAIN + TEST))
        measured = theory * (1 + 1.5 / n)
        sampled = measured * (1 + 0.05 * rng.normal())
        error = sampled * 0.05
        f0 = rng.normal(size=(20, TRAIN + TEST)) @ root.T
        kick = rng.normal(size=(20, 1, TRAIN + TEST)) * measured
        outputs = mean + np.einsum("tij,sj->sti", flow, f0) + kick
        shift = -0.8 / n * bump[:, None] * np.cos(np.arange(TRAIN + TEST))
        shift_error = measured / np.sqrt(MEMBERS)
        rms = np.sqrt((sampled**2).mean(1))
        top = int(np.argmax(rms))
        at.append(
            AtWidth(
                width=n,
                members=MEMBERS,
                initial_members=initial,
                initial_outputs=samples,
                fourth_cumulant=Measured(k4 + k4_error * rng.normal(), k4_error),
                fourth_cumulant_theory=Measured(k4, 1e-9),
                distance_to_gp=Measured(w1 + 2e-4 * rng.normal(), 2e-4),
                distance_to_gp_theory=w1,
                distance_to_corrected=Measured(3e-4 + 4 * w1 / n, 2e-4),
                corrected_order=2,
                outputs=outputs[..., None],
                deviation=sampled,
                deviation_error=error,
                deviation_theory=theory,
                largest_deviation=Measured(float(rms[top]), float(0.05 * rms[top])),
                largest_deviation_theory=Measured(float(np.sqrt((theory**2).mean(1)).max()), 1e-6),
                mean_shift=(shift + 0.7 * shift_error)[..., None],
                mean_shift_error=shift_error[..., None],
                mean_shift_theory=shift[..., None],
                mean_shift_theory_error=1e-6 + 0 * shift[..., None],
                integration_error=1e-7,
                seconds=3.2,
            )
        )
        if n in (widths[0], widths[-1]):
            exact = gaussian if corrected is None else corrected
            error = 0.02 / n * gaussian
            densities.append(Density(n, z, gaussian, corrected, exact + 0.5 * error, error))
    return Comparison(
        spec=spec,
        dataset=dataset,
        point=TRAIN,
        kernel_eigenvalues=eigenvalues,
        kernel_error=3e-12,
        output_std=SIGMA,
        times=times,
        gp_mean=mean[..., None],
        gp_std=std,
        widths=tuple(at),
        densities=tuple(densities),
        fourth_cumulant_slope=Slope(value=-1.012, error=0.021, theory=-1.0, chi2=3.1, degrees=4),
        deviation_slope=Slope(value=-0.489, error=0.018, theory=-0.5, chi2=2.2, degrees=4),
        training_law="one hidden layer: a made-up engine",
        versions={"widthwise": "0.1.0", "jax": "0.10.2", "numpy": "2.4.6", "python": "3.11.2"},
        command="widthwise run study.toml --output runs/tanh",
        seconds=41.7,
        certificates=tuple(CertificateAtWidth(n, certificate(n)) for n in widths),
    )


def certificate(n: int) -> Certificate:
    """Of gradient descent, from step 200 on."""
    return Certificate(
        True,
        "descent_trajectory",
        "descent",
        "exact gradient descent stays within 3e-09 of the float64 iterates until number 200 and "
        "converges to zero loss",
        rate=0.0123,
        since=200.0,
        movement=3.21,
        ntk_change=4 / n,
        ntk_since=200.0,
        step=0.0456,
    )


def refused(n: int) -> Certificate:
    """No proof: the iterates did not come far enough."""
    reason = "after 20000 steps the residual is 0.5 of the first & Theorem 3 does not hold yet"
    return Certificate(False, "descent_trajectory", "descent", reason, step=0.0456)


def changed(study: Comparison, *, every=None, **fields) -> Comparison:
    """The study with some fields replaced, and with ``every`` replaced in all of its widths."""
    if every:
        fields["widths"] = tuple(replace(w, **every) for w in study.widths)
    return replace(study, **fields)
