"""The command line: what it prints, where, its exit codes, and that bad input writes nothing."""

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from widthwise import __version__
from widthwise.show import cite, cli

STUDY = """
title = "A [small] study"
[data]
name = "wine"
train = 6
test = 3
[study]
widths = [8, 16]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder; the cache and everything else a command touches lies elsewhere."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("COLUMNS", "200")
    return here


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    return file


@pytest.fixture
def machinery(monkeypatch):
    """compare, write_report and verdict that are quick, and remember what they were given."""
    seen = types.SimpleNamespace(progress=[(0, 2, "limit"), (1, 2, "n = 8"), (2, 2, "n = 8")])

    def compare(spec, dataset, *, command, progress):
        seen.spec, seen.dataset, seen.command = spec, dataset, command
        for step in seen.progress:
            progress(*step)
        return types.SimpleNamespace(versions={"widthwise": __version__}, seconds=np.float64(1.5))

    def write_report(comparison, path):
        seen.draft = path
        path.write_text("<html>")

    def fake(name, **members):
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    figures = [{"width": np.int64(8), "distance": np.array([0.5, np.nan])}]
    seen.compare = fake("widthwise.experiments.compare", compare=compare)
    seen.report = fake("widthwise.show.report", write_report=write_report)
    fake("widthwise.show.verdict", sentences=lambda c: ("All is well.",), figures=lambda c: figures)
    return seen


def written(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


# Commands that do their work. ---------------------------------------------------------------------


def test_report_says_choices_and_verdict(folder, study, machinery, capsys):
    assert cli.main(["report", str(study)]) == 0
    out, err = capsys.readouterr()
    assert written(folder) == ["study.html"]
    assert out.startswith(f"A [small] study  (spec {machinery.spec.hash}, data ")
    for words in (
        "Data     wine (from scikit-learn): 178 points",
        "6 train points (2 of every class)",
        "Network  1 hidden layer, relu",
        "Study    n = 8, 16",
        "All is well.",
        "Report: study.html  (2 s; open it in a browser)",
    ):
        assert words in out
    assert err == "[0/2] limit\n[1/2] n = 8\n"  # not a terminal: one plain line per message
    assert machinery.command == f"widthwise report {study} --output study.html"
    assert machinery.dataset.outputs == 3


def test_demo_runs_the_study_in_the_package(folder, machinery, capsys):
    assert cli.main(["demo"]) == 0
    assert written(folder) == ["widthwise-demo", "widthwise-demo/report.html"]
    assert machinery.spec.data.name == "diabetes"
    assert machinery.command == "widthwise demo --output widthwise-demo"
    assert "Report: widthwise-demo/report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "file"), [("a.html", "a.html"), ("b", "b/report.html"), ("c/d.html", "c/d.html")]
)
def test_output_is_a_file_or_a_folder(folder, study, machinery, output, file):
    assert cli.main(["report", str(study), "--output", output]) == 0
    assert (folder / file).read_text() == "<html>"
    assert [name for name in written(folder) if "." in name] == [file]


def test_output_may_be_a_folder_with_a_dot(folder, study, machinery):
    (folder / "v1.0").mkdir()
    assert cli.main(["report", str(study), "--output", "v1.0"]) == 0
    assert written(folder) == ["v1.0", "v1.0/report.html"]


def test_json_is_alone_on_stdout(folder, study, machinery, capsys):
    assert cli.main(["report", str(study), "--json"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out) == {
        "report": "study.html",
        "verdict": ["All is well."],
        "figures": [{"width": 8, "distance": [0.5, None]}],
        "spec_hash": machinery.spec.hash,
        "data_hash": machinery.dataset.hash,
        "versions": {"widthwise": __version__},
        "seconds": 1.5,
    }
    assert "All is well." in err


def test_progress_bar_on_a_terminal(folder, study, machinery, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    machinery.progress.append((2, 2, "done [all]"))
    assert cli.main(["report", str(study)]) == 0
    err = capsys.readouterr().err
    assert "100%" in err
    assert "done [all]" in err


def test_data_file_is_seen_from_the_study(folder, tmp_path, machinery):
    (tmp_path / "points.csv").write_text("a,y\n" + "".join(f"{i},{i % 5}\n" for i in range(30)))
    file = tmp_path / "study.toml"
    file.write_text('[data]\npath = "points.csv"\n')
    assert cli.main(["report", str(file)]) == 0
    assert machinery.dataset.name == "points.csv"


def test_existing_report_is_replaced_whole_or_not_at_all(folder, study, machinery, capsys):
    (folder / "study.html").write_text("old")

    def half(comparison, path):
        path.write_text("<ht")
        raise RuntimeError("no more ink")

    machinery.report.write_report = half
    assert cli.main(["report", str(study)]) == 1
    assert (folder / "study.html").read_text() == "old"
    assert written(folder) == ["study.html"]
    assert "no more ink" in capsys.readouterr().err


LAW = """
[data]
name = "diabetes"
train = 4
test = 1
[network]
activation = "tanh"
[study]
widths = [8, 64]
times = [0.0, 1.0]
"""


CERTIFY = """
[data]
name = "diabetes"
train = 3
test = 1
[network]
activation = "tanh"
bias_std = 0.3
[study]
widths = [16, 24]
method = "descent"
step = 0.2
times = [0, 5]
"""


def test_certify_prints_the_theorem_or_json(folder, tmp_path, capsys):
    file = tmp_path / "certify.toml"
    file.write_text(CERTIFY)
    assert cli.main(["certify", str(file), "--width-for", "0.9"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(
        "One network of width 24, drawn with seed 0, trained by gradient descent:\nCertified by "
    )
    assert "the loss converges to zero" in out
    assert "Arithmetic: float64" in out
    assert "In advance, for any network drawn like this:\nWith probability at least 0.9" in out
    assert err == "[0/1] network of width 24\n[1/1] done\n"
    words = ["--every-width", "--json", "--arithmetic", "interval"]
    assert cli.main(["certify", str(file), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [made["width"] for made in found["certificates"]] == [16, 24]
    assert found["certificates"][1]["holds"] is True
    assert "outward-rounded" in found["certificates"][1]["assumption"]
    assert found["certificates"][1]["attempts"][0]["method"] == "descent_path"
    assert "width_for" not in found


def test_certify_refuses_as_a_result_and_bad_input_as_an_error(folder, tmp_path, capsys):
    file = tmp_path / "certify.toml"
    file.write_text(CERTIFY.replace("tanh", "relu"))
    assert cli.main(["certify", str(file), "--width", "8", "--width-for", "0.9"]) == 0
    out = capsys.readouterr().out
    assert "Not certified: not available: activation 'relu' has a kink" in out
    assert "does not say that training fails" in out
    assert "No width is proven: not available: activation 'relu'" in out
    for words, message in (
        (["--width", "0"], "--width must be at least 1"),
        (["--width-for", "2"], "--width-for must be a probability between 0 and 1, got 2"),
        (["--method", "linear_reference"], "got 'linear_reference'"),
        (["--method", "magic"], "magic"),
    ):
        assert cli.main(["certify", str(file), *words]) == 2
        assert message in capsys.readouterr().err


def test_law_prints_a_table_or_json(folder, tmp_path, capsys):
    file = tmp_path / "law.toml"
    file.write_text(LAW)
    assert cli.main(["law", str(file)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Outputs at t = 1.000: mean ± standard deviation over networks" in out
    assert "width 64" in out
    assert "test 0" in out
    assert "Reliability: width 64" in out
    assert cli.main(["law", str(file), "--width", "512", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["width"] == 512
    assert len(found["rows"]) == 2 * 5
    first = found["rows"][0]
    assert first["time"] == 0.0
    assert abs(first["mean"]) < 1e-12
    assert first["std"] == pytest.approx(first["limit_std"])  # the variance of one hidden layer
    last = found["rows"][-1]
    assert last["mean"] != last["limit_mean"]
    assert written(folder) == []


@pytest.mark.parametrize(
    ("old", "new", "words", "message"),
    [
        ('"tanh"', '"relu"', [], "kink"),
        (
            "times = [0.0, 1.0]",
            'method = "descent"\nstep = 0.1\ntimes = [0, 5]',
            [],
            "gradient flow",
        ),
        ("", "", ["--width", "0"], "--width must be at least 1, got 0"),
    ],
)
def test_no_law_is_bad_input(folder, tmp_path, capsys, old, new, words, message):
    file = tmp_path / "law.toml"
    file.write_text(LAW.replace(old, new) if old else LAW)
    assert cli.main(["law", str(file), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_cite_is_bibtex(capsys):
    assert cli.main(["cite"]) == 0
    out, err = capsys.readouterr()
    assert out == cite.citations()
    assert err == ""
    for words in ("@misc{", "{2304.03385}", r"Mour{\~a}o", "@software{", f"{{{__version__}}}"):
        assert words in out
    assert out.count("{") == out.count("}")


def test_help_and_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("demo", "report", "cite"))
    assert cli.main([]) == 0
    assert capsys.readouterr().out == out
    assert cli.main(["report", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("SPEC", "--output", "--json", "--debug"))


# Commands that cannot. ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo", "--nope"], "Unknown option: --nope"),
        (["demo", "extra"], "unexpected: extra\nSee: widthwise demo --help"),
        (["reprot"], 'Unknown command "reprot". Did you mean "report"?'),
        (["report"], "SPEC requires an argument.\nSee: widthwise report --help"),
        (["report", "nowhere.toml"], "nowhere.toml: one thing to correct"),
        (["demo", "--output", "report.pdf"], "a report is an HTML file"),
        (["demo", "--output", "/dev/null/x"], "cannot write in /dev/null"),
    ],
)
def test_bad_input_is_two(folder, machinery, capsys, words, message):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("widthwise: ")
    assert message in err
    assert "Traceback" not in err
    assert written(folder) == []


def test_output_folder_called_like_a_file(folder, machinery, capsys):
    (folder / "out" / "report.html").mkdir(parents=True)
    assert cli.main(["demo", "--output", "out"]) == 2
    assert "out/report.html is a folder; remove it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("[8, 16]", "[8, 0]", ["one thing to correct", "study.widths[1] = 0", "whole numbers"]),
        ("train = 6", "train = 600", ["data.train = 600", "wine has 178; ask for fewer"]),
        ('name = "wine"', 'path = "no.csv"', ['data.path = "no.csv"', "does not exist"]),
        ("[study]", "[study", ["line 7 is not TOML"]),
    ],
)
def test_bad_study_writes_nothing(folder, study, machinery, capsys, old, new, messages):
    study.write_text(STUDY.replace(old, new))
    assert cli.main(["report", str(study), "--output", "out/report.html", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(message in err for message in messages)
    assert "Traceback" not in err
    assert written(folder) == []
    assert not hasattr(machinery, "command")


def test_failed_computation_is_one(folder, study, machinery, capsys):
    def compare(*args, **kwargs):
        raise ZeroDivisionError("of n [8]")

    machinery.compare.compare = compare
    assert cli.main(["report", str(study), "--output", "out"]) == 1
    err = capsys.readouterr().err
    assert "widthwise: the computation failed: ZeroDivisionError: of n [8]\n" in err
    assert "Run it again with --debug" in err
    assert "Traceback" not in err
    assert written(folder) == []
    assert cli.main(["report", str(study), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_missing_extra_is_said_before_computing(folder, study, machinery, monkeypatch, capsys):
    class Missing:
        def find_spec(self, name, path, target=None):
            if name == "widthwise.show.report":
                raise ModuleNotFoundError("No module named 'plotly'", name="plotly")

    monkeypatch.delitem(sys.modules, "widthwise.show.report")
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    assert cli.main(["report", str(study)]) == 1
    assert "the report needs plotly" in (err := capsys.readouterr().err)
    assert "pip install 'widthwise[report]'" in err
    assert not hasattr(machinery, "command")


def test_interruption_is_130(folder, study, machinery, capsys):
    def compare(*args, **kwargs):
        raise KeyboardInterrupt

    machinery.compare.compare = compare
    assert cli.main(["report", str(study)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "widthwise: interrupted; no report was written"
    )
    assert written(folder) == []


# The process itself. ------------------------------------------------------------------------------

PROGRAM = "import sys; from widthwise.show.cli import main; sys.exit(main())"


def environment(cache: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    source = str(Path(__file__).parents[2] / "src")
    return {**clean, "XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu", "PYTHONPATH": source}


def test_process_ends_with_the_exit_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "report", "nowhere.toml"],
        cwd=tmp_path,
        env=environment(tmp_path / "cache"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_float64_and_cache_are_set_before_anything_is_compiled(tmp_path):
    program = """
import json, jax
from widthwise.show import cli
cli._prepare_jax()
jax.jit(lambda x: x + 1)(1.0)
names = ("jax_enable_x64", "jax_compilation_cache_dir",
         "jax_persistent_cache_min_compile_time_secs", "jax_persistent_cache_min_entry_size_bytes")
print(json.dumps([jax.config.values[name] for name in names]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [True, str(tmp_path / "widthwise" / "jax"), 0.2, -1]
    assert (tmp_path / "widthwise" / "jax").is_dir()


def test_a_cache_of_the_user_is_kept():
    before = jax.config.values["jax_compilation_cache_dir"]
    assert before is not None  # tests/conftest.py
    cli._prepare_jax()
    assert jax.config.values["jax_compilation_cache_dir"] == before


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_control_c_is_one_line(tmp_path):
    program = f"""
import signal, sys, types
# a shell that started the tests in its background hands the signal down ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
def compare(*args, **kwargs):
    print("computing", flush=True)
    import time; time.sleep(60)
for name, members in (("experiments.compare", {{"compare": compare}}),
                      ("show.report", {{"write_report": None}}),
                      ("show.verdict", {{"sentences": None, "figures": None}})):
    module = types.ModuleType("widthwise." + name)
    vars(module).update(members)
    sys.modules["widthwise." + name] = module
{PROGRAM}
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, "demo"],
        cwd=tmp_path,
        env=environment(tmp_path / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "computing\n":
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "widthwise: interrupted; no report was written\n"
    assert not (tmp_path / "widthwise-demo").exists()


@pytest.mark.parametrize("kind", [np.linalg.LinAlgError, ValueError])
def test_a_law_that_fails_to_compute_is_no_bad_input(folder, tmp_path, capsys, monkeypatch, kind):
    def fail(*arguments, **options):
        raise kind("eigenvalues did not converge")

    file = tmp_path / "law.toml"
    file.write_text(LAW)
    monkeypatch.setattr("widthwise.training.law.training_law", fail)
    assert cli.main(["law", str(file)]) == 1
    assert "the computation failed" in capsys.readouterr().err
