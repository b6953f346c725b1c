"""The verdict in words, its table, the figures and the page, on made-up studies."""

import json
import math
import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import synthetic

from widthwise.experiments.comparison import Measured, Slope
from widthwise.experiments.spec import Spec
from widthwise.show import figures as draw
from widthwise.show import report, verdict

PLOTS = 12  # 2 densities, distance, κ₄, 4 trajectories, 2 deviations, mean shift, spectrum


@pytest.fixture(scope="module")
def study():
    return synthetic.comparison()


def text(study) -> str:
    return "\n".join(verdict.sentences(study))


def widest(study, **fields):
    return replace(study, widths=(*study.widths[:-1], replace(study.widths[-1], **fields)))


def embedded(page: str, id: str):
    return json.loads(re.search(rf'id="{id}">(.*?)</script>', page, re.S)[1])


# Numbers. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.012345, 0.00041, "0.0123 ± 0.0004"),
        (0.044, 0.0019, "0.0440 ± 0.0019"),
        (0.044, 0.0996, "0.04 ± 0.10"),
        (-1.0123, 0.021, "−1.01 ± 0.02"),
        (1234.0, 56.0, "1230 ± 60"),
        (0.0, 0.3, "0.0 ± 0.3"),
        (1.234e-6, 3e-8, "(1.23 ± 0.03)·10⁻⁶"),
        (0.5, 0.0, "0.5000"),
        (0.5, math.nan, "0.5000"),
    ],
)
def test_a_number_is_rounded_to_its_error(value, error, expected):
    assert verdict.with_error(value, error) == expected
    if error > 0:
        plain = verdict.with_error(value, error, plain=True)
        assert expected.startswith(plain.partition("·")[0].lstrip("(")) or "·" in plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.01234, "0.0123"), (1.2e-7, "1.20·10⁻⁷"), (-3.0, "−3.00"), (0.0, "0"), (math.inf, "∞")],
)
def test_a_number_without_error_has_three_digits(value, expected):
    assert verdict.number(value) == expected


def test_powers_are_fractions():
    assert [verdict.power(p) for p in (-1.0, -0.5, -1.5, 0.123)] == ["−1", "−1/2", "−3/2", "0.123"]


# The verdict. -------------------------------------------------------------------------------------


def test_agreeing_study_says_what_was_found_and_warns_of_nothing(study):
    study = widest(study, distance_to_gp=Measured(0.0123, 0.0004))
    said = text(study)
    assert "At width 512 the law of the untrained output at test point 0" in said
    assert "within 0.0123 ± 0.0004 of the Gaussian process, which is 0.95 %" in said
    assert "up to t = 5" in said
    assert "first-order theory predicts 0.0293" in said
    assert "goes like n^(−1.01 ± 0.02)" in said
    assert "theory says n^(−1): they agree" in said
    assert "theory says n^(−1/2): they agree" in said
    assert verdict.caveats(study) == ()


def test_disagreeing_slope_is_reported_with_its_distance_and_chi_squared(study):
    slope = Slope(value=-0.7, error=0.03, theory=-0.5, chi2=33.2, degrees=4)
    said = text(replace(study, deviation_slope=slope))
    assert "they do not agree within two standard errors" in said
    assert "6.7 standard errors away from theory's −1/2" in said
    assert "χ² = 33.2 on 4 degrees of freedom" in said


def test_theory_far_from_the_measured_deviation_is_not_hidden(study):
    said = text(
        widest(
            study,
            largest_deviation=Measured(0.045, 0.002),
            largest_deviation_theory=Measured(0.03, 1e-6),
        )
    )
    assert "first-order theory predicts 0.030, 50 % off" in said


def test_missing_predictions_are_said_and_leave_no_theory_in_the_table(study):
    bare = synthetic.changed(
        study,
        every={
            "fourth_cumulant_theory": None,
            "distance_to_gp_theory": None,
            "distance_to_corrected": None,
            "corrected_order": None,
            "deviation_theory": None,
            "largest_deviation_theory": None,
            "mean_shift_theory": None,
            "mean_shift_theory_error": None,
        },
        densities=tuple(replace(d, corrected=None) for d in study.densities),
    )
    said = text(bare)
    assert (
        "no finite-width prediction of the fourth cumulant, the law of the output, the"
        " deviation from the linear flow and the shift of the mean" in said
    )
    assert "corrected for finite width" not in said
    assert "first-order theory" not in said
    assert "training law" not in said
    rows = [row for row in verdict.figures(bare) if row["width"] is not None]
    assert all(row["theory"] is None and row["z_score"] is None for row in rows)
    assert report.render(bare).count('class="plot"') == PLOTS


def test_unresolved_numbers_are_called_so(study):
    study = widest(
        study,
        distance_to_gp=Measured(0.0004, 0.0004),
        fourth_cumulant=Measured(-0.001, 0.002),
        distance_to_corrected=Measured(0.0003, 0.0004),
    )
    said = text(study)
    assert "within 0.0004 ± 0.0004 of the Gaussian process" in said
    assert said.count("cannot be told from 0 with this many networks") == 4
    assert "At width 512, κ₄ cannot be told from 0" in said


def test_the_shift_of_the_mean_is_said_and_so_is_its_disagreement(study):
    w = study.widths[0]
    agreed = "Averaged over networks of width 32, the trained output at test point 0 ends"
    assert agreed in text(study)
    assert "orders beyond 1/n" not in text(study)
    off = synthetic.changed(
        study, every={"mean_shift": w.mean_shift_theory + 4 * w.mean_shift_error}
    )
    assert "orders beyond 1/n still matter at this width" in text(off)


def test_no_slope_with_a_single_width(study):
    single = replace(
        study,
        widths=study.widths[:1],
        densities=study.densities[:1],
        fourth_cumulant_slope=None,
        deviation_slope=None,
    )
    said = text(single)
    assert "No power of n was fitted for κ₄" in said
    assert "goes like" not in said
    assert report.render(single).count('class="plot"') == PLOTS - 1


def test_numerical_errors_singular_kernels_and_negative_densities_are_caveats(study):
    eigenvalues = np.concatenate([[0.0], study.kernel_eigenvalues[1:]])
    dip = study.densities[0].corrected.copy()
    dip[10] = -0.003
    bad = synthetic.changed(
        study,
        every={"integration_error": 0.01},
        kernel_eigenvalues=eigenvalues,
        kernel_error=0.01,
        densities=(replace(study.densities[0], corrected=dip), study.densities[1]),
    )
    said = "\n".join(verdict.caveats(bad))
    assert "time integration is not exact enough" in said
    assert "1 of the 4 eigenvalues" in said
    assert "At width 32 the corrected density falls below 0, to −0.0030" in said
    assert "kernels carry an error of 0.010" in said


def test_gradient_descent_counts_steps(study):
    spec = synthetic.specification(
        study={"method": "descent", "step": 0.1, "times": [0, 100], "widths": [32, 512]}
    )
    study = replace(study, spec=spec, times=np.linspace(0, 100, len(study.times)))
    assert "up to 100 steps" in text(study)
    assert "gradient descent steps" in report.render(study)


def test_the_advised_width_follows_the_power_law(study):
    """Deviation 0.0298 ± 0.0015 at n = 512, target 0.013, power 1/2: n = 512·(0.0298/0.013)²."""
    deviation = study.widths[-1].largest_deviation.value
    needed = 512 * (deviation / (0.01 * study.output_std)) ** 2
    (said,) = [s for s in verdict.advice(study) if "training" in s]
    found = float(re.search(r"about (\d+)", said)[1])
    assert needed <= found < needed + 100
    low, high = (float(w) for w in re.search(r"interval (\d+) to (\d+)", said).groups())
    # 5 % of the deviation is 10 % of the width, and the interval is two standard errors
    assert low == pytest.approx(needed * math.exp(-0.2), rel=0.05)
    assert high == pytest.approx(needed * math.exp(0.2), rel=0.05)


def test_a_far_extrapolation_is_called_one(study):
    study = synthetic.changed(study, every={"largest_deviation": Measured(1.0, 0.01)})
    assert "times the largest width tried" in "\n".join(verdict.advice(study))


# The table. ---------------------------------------------------------------------------------------


def test_table_holds_every_number_with_its_z(study):
    rows = verdict.figures(study)
    assert len(rows) == 5 * len(study.widths) + 2
    first = rows[0]
    w = study.widths[0]
    assert first["width"] == 32
    assert first["measured"] == w.fourth_cumulant.value
    assert first["z_score"] == pytest.approx(
        (w.fourth_cumulant.value - w.fourth_cumulant_theory.value)
        / math.hypot(w.fourth_cumulant.error, w.fourth_cumulant_theory.error)
    )
    shift = rows[4]
    end = -1, study.point, 0
    assert shift["quantity"] == "shift of the mean at test point 0 after training"
    assert shift["measured"] == w.mean_shift[end]
    assert shift["theory"] == w.mean_shift_theory[end]
    assert shift["z_score"] == pytest.approx(0.7, abs=0.01)
    slope = rows[-1]
    assert slope["width"] is None
    assert slope["z_score"] == pytest.approx((-0.489 + 0.5) / 0.018)
    json.dumps(rows, allow_nan=False)


# The figures. -------------------------------------------------------------------------------------


def test_a_value_within_two_errors_of_zero_becomes_an_upper_limit():
    figure = draw.deviation(
        np.array([32, 64, 128]),
        np.array([0.1, 0.07, 0.01]),
        np.array([0.01, 0.01, 0.02]),
        None,
        slope=(-0.5, 0.1),
    )
    measured = next(t for t in figure.data if t.name.startswith("real networks"))
    limit = next(t for t in figure.data if "upper limit" in t.name)
    assert list(measured.x) == [32, 64]
    assert "−0.50 ± 0.10" in measured.name
    assert list(limit.x) == [128]
    assert list(limit.y) == [0.05]


def test_a_negative_fourth_cumulant_is_drawn_by_size_and_says_its_sign():
    figure = draw.fourth_cumulant(
        np.array([32, 64]), np.array([-0.2, -0.1]), np.array([0.01, 0.01]), np.array([-0.2, -0.1])
    )
    assert "κ₄ is negative" in figure.layout.yaxis.title.text
    assert all((np.asarray(t.y) > 0).all() for t in figure.data)


def test_histogram_minus_gaussian_is_unbiased_and_its_errors_are_right():
    """z-scores of exact Gaussian samples against the bin averages: mean square 1."""
    z = np.linspace(-8, 8, 801)
    gaussian = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    samples = np.random.default_rng(0).normal(size=400_000)
    figure = draw.density(z, gaussian, None, samples, width=64)
    difference = next(t for t in figure.data if t.type == "scatter" and t.mode == "markers")
    scores = np.asarray(difference.y) / np.asarray(difference.error_y.array)
    assert np.mean(scores**2) == pytest.approx(1, abs=3 * math.sqrt(2 / len(scores)))


def test_the_conditional_density_takes_the_place_of_the_bins_in_the_difference():
    z = np.linspace(-4, 4, 81)
    gaussian = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    samples = np.random.default_rng(0).normal(size=1000)
    estimate = (gaussian + 0.01, np.full_like(z, 0.002))
    figure = draw.density(z, gaussian, None, samples, width=64, conditional=estimate)
    band, line = figure.data[-2:]
    assert line.y == pytest.approx(np.full(81, 0.01))
    assert band.y == pytest.approx(np.repeat([0.014, 0.006], 81))


def test_trajectories_carry_their_width_for_switching():
    times = np.array([0.0, 1.0])
    networks = {32: np.ones((3, 2)), 512: np.zeros((3, 2))}
    figure = draw.trajectory(times, times, times, networks, 1.0)
    switched = {t.meta: t.visible for t in figure.data if t.meta is not None}
    assert switched == {32: True, 512: False}


def test_a_difference_below_the_noise_of_a_bin_is_said_to_be(study):
    counted = tuple(replace(d, measured=None, measured_error=None) for d in study.densities)
    page = report.render(replace(study, densities=counted))
    assert "At n = 512 the predicted difference is smaller" in page
    assert "these densities are averaged" in " ".join(report.render(study).split())


# The page. ----------------------------------------------------------------------------------------


class _Links(HTMLParser):
    """Attributes through which a browser would fetch something."""

    def __init__(self):
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        self.found += [
            (tag, value or "")
            for name, value in attrs
            if name in ("src", "srcset", "data", "poster", "action")
            or (name == "href" and tag != "a")
        ]


def test_page_is_one_file_with_every_figure_and_table(study, tmp_path):
    path = report.write_report(study, tmp_path / "deep" / "report.html")
    page = path.read_text(encoding="utf-8")
    assert page.count('class="plot"') == PLOTS
    assert page.count("plotly.js v") == 1
    assert embedded(page, "widthwise-figures") == verdict.figures(study)
    links = _Links()
    links.feed(page)
    assert {tag for tag, _ in links.found} == {"link"}
    assert all(value.startswith("data:") for _, value in links.found)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_page_says_what_was_proven_of_which_network(study):
    page = report.render(study)
    part = page[page.index('id="certificates"') :]
    part = part[: part.index("</section>")]
    assert part.count("<td>holds</td>") == len(study.widths)
    for text in ("0.0456", "1.2 %", "3.21", "What must happen".lower(), "<td>200</td>"):
        assert text in part
    assert "0.125" in part  # 4 / 32, the change of the kernel at the smallest width
    words = verdict.findings(study)[-1]
    assert words.startswith("Proven, not only observed: for one network each of width 32, 64")
    assert "32, 64, 128, 256 and 512" in words


def test_page_tells_a_proof_from_a_computed_step_from_one_from_the_start(study):
    late = tuple(
        replace(at, certificate=replace(at.certificate, from_start=at.width > 100))
        for at in study.certificates
    )
    changed = replace(study, certificates=late)
    page = report.render(changed)
    assert page.count("<td>holds for the computed step</td>") == 2
    assert page.count("<td>holds</td>") == len(study.widths) - 2
    words = verdict.findings(changed)
    assert any("of width 32 and 64, drawn at random, gradient descent brings" in w for w in words)
    assert any(
        "one network each of width 128, 256 and 512, drawn at random, grad" in w for w in words
    )


def test_page_does_not_make_a_missing_proof_a_failure(study):
    half = tuple(
        replace(at, certificate=synthetic.refused(at.width)) if at.width < 100 else at
        for at in study.certificates
    )
    page = report.render(replace(study, certificates=half))
    assert page.count("<td>not found</td>") == 2
    assert "Width 64: after 20000 steps the residual is 0.5 of the first &amp; Theorem" in page
    assert "says nothing about training" in page
    words = verdict.findings(replace(study, certificates=half))
    assert "width 32 and 64 no such proof was found" in words[-1]
    assert "does not say that its training fails" in words[-1]
    none = tuple(replace(at, certificate=synthetic.refused(at.width)) for at in half)
    page = report.render(replace(study, certificates=none))
    assert "No proof was found for any width. After 20000 steps" in page
    assert "Proven" not in " ".join(verdict.sentences(replace(study, certificates=none)))
    page = report.render(replace(study, certificates=()))
    assert "None was looked for in this report" in page


def test_page_shows_a_specification_that_computes_the_same_study(study):
    law = {"name": "student_t", "df": 9}
    spec = synthetic.specification(network={"depth": 2, "weight_law": ["uniform", "gaussian", law]})
    page = report.render(replace(study, spec=spec))
    shown = re.search(r"<pre><code>(seed.*?)</code></pre>", page, re.S)[1]
    again = Spec.from_mapping(tomllib.loads(shown.replace("&quot;", '"')))
    assert again.hash == spec.hash
    assert spec.hash in page


def test_page_escapes_what_the_user_wrote(study):
    evil = "<script>alert('x')</script>\"&"
    spec = synthetic.specification(title=evil)
    dataset = replace(study.dataset, name=evil, description=(evil,))
    page = report.render(
        replace(study, spec=spec, dataset=dataset, command=evil, versions={evil: evil})
    )
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;") >= 7


def test_a_report_that_fails_leaves_the_old_one(study, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(AttributeError):
        report.write_report(replace_spec_badly(study), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def replace_spec_badly(study):
    broken = replace(study)
    object.__setattr__(broken, "spec", None)
    return broken
