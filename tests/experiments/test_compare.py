"""Whole studies, small: shapes, agreement of theory and simulation, and what has no theory yet."""

import numpy as np
import pytest

from widthwise.certify import certify
from widthwise.experiments.certificates import certificates, network_key
from widthwise.experiments.compare import compare
from widthwise.experiments.data import load
from widthwise.experiments.spec import Spec


def study(**sections):
    fields = {
        "data": {"name": "diabetes", "train": 4, "test": 2},
        "network": {"activation": "tanh", "weight_std": 1.5, "bias_std": 0.3},
        "study": {
            "widths": [16, 64],
            "members": 12,
            "initial_members": 400,
            "times": [0.0, 0.5, 1.0],
            "tolerance": 1e-3,
        },
    }
    for name, section in sections.items():
        fields[name] = fields[name] | section
    spec = Spec.from_mapping(fields)
    return compare(spec, load(spec.data, spec.seed))


def test_theory_and_simulation_agree():
    comparison = study(study={"members": 60, "initial_members": 2000})
    assert comparison.gp_mean.shape == (3, 6, 1)
    for result in comparison.widths:
        measured, theory = result.fourth_cumulant, result.fourth_cumulant_theory
        assert theory is not None
        assert abs(measured.value - theory.value) < 4 * measured.error
        distance = result.distance_to_gp
        assert abs(distance.value - result.distance_to_gp_theory) < 4 * distance.error
        deviation, first = result.largest_deviation, result.largest_deviation_theory
        assert first is not None
        assert 0.7 < deviation.value / first.value < 1.3
        assert result.deviation[0].max() < 1e-13
    widest = comparison.widths[-1]
    shift = (widest.mean_shift - widest.mean_shift_theory)[1:] / widest.mean_shift_error[1:]
    assert np.sqrt((shift**2).mean()) < 2
    assert comparison.fourth_cumulant_slope.agrees
    assert [density.width for density in comparison.densities] == [16, 64]


def test_progress_covers_the_study():
    seen = []
    spec = Spec.from_mapping(
        {
            "data": {"name": "wine", "classes": [0, 1], "train": 4, "test": 1},
            "study": {"widths": [8], "members": 3, "initial_members": 40, "tolerance": 1e-2},
        }
    )
    compare(
        spec, load(spec.data, 0), progress=lambda done, total, words: seen.append((done, total))
    )
    assert seen[0] == (0, 3)
    assert seen[-1] == (3, 3)


def test_several_classes_depth_two_and_descent():
    comparison = study(
        data={"name": "wine", "train": 6},
        network={"depth": 2, "activation": "relu"},
        study={"method": "descent", "step": 0.01, "times": [0, 5, 20]},
    )
    result = comparison.widths[0]
    assert comparison.gp_mean.shape == (3, 8, 3)
    assert result.outputs.shape == (12, 3, 8, 3)
    assert result.integration_error == 0.0
    assert result.largest_deviation_theory is None
    assert np.isfinite(result.deviation).all()


@pytest.mark.parametrize("law", [pytest.param("uniform", marks=pytest.mark.slow), "exponential"])
def test_other_laws_everywhere(law):
    comparison = study(network={"weight_law": ["uniform", law], "bias_law": [law, "gaussian"]})
    result = comparison.widths[1]
    assert result.fourth_cumulant_theory is not None
    assert result.distance_to_corrected is not None
    # a skewed readout law moves the kernel at the same order: no first-order prediction then
    assert (result.largest_deviation_theory is None) == (law == "exponential")
    assert comparison.densities[0].measured is None  # the readout is not Gaussian


def test_the_same_seed_gives_the_same_study():
    first, second = study(), study()
    assert (first.widths[0].outputs == second.widths[0].outputs).all()
    assert first.widths[1].largest_deviation == second.widths[1].largest_deviation


def test_one_network_per_width_is_certified():
    """The proof is that of certify for the network its key draws; ill-conditioned data are left."""
    spec = Spec.from_mapping(
        {
            "data": {"name": "diabetes", "train": 3, "test": 1},
            "network": {"activation": "tanh", "bias_std": 0.5},
            "study": {"widths": [4, 16]},
        }
    )
    dataset = load(spec.data, 0)
    found = certificates(spec, dataset, np.array([0.1, 0.5, 2.0]))
    assert [at.width for at in found] == [4, 16]
    assert all(at.certificate.dynamics == "descent" for at in found)
    assert found[1].certificate.holds
    net = spec.network(1)
    parameters = net.init(network_key(spec, 16), 16, dataset.x_train.shape[1])
    again = certify(net, parameters, dataset.x_train, dataset.y_train, dynamics="descent")
    assert found[1].certificate == again
    assert certificates(spec, dataset, np.array([1e-4, 0.5, 2.0])) == ()
    assert certificates(spec, dataset, np.array([0.0, 0.5, 2.0])) == ()
