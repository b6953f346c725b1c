"""README, pages and docstrings say what the code does: their examples run, with these results.

In a page, all ``python`` blocks share one namespace, in order; a ``text`` block right below one is
what it prints. A ``toml`` block with data is a study that is accepted, or whose refusal is the
``text`` block right below it.
"""

import ast
import contextlib
import doctest
import importlib
import io
import re
import textwrap
import tomllib
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

from widthwise.experiments.spec import Spec, SpecError, StudySpec

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One fenced block of a page, and the ``text`` block right below it."""

    language: str
    code: str
    line: int
    below: str | None


def blocks(text: str) -> list[Block]:
    found = list(_FENCE.finditer(text))
    result = []
    for i, match in enumerate(found):
        after = found[i + 1] if i + 1 < len(found) else None
        adjacent = after and after[1] == "text" and not text[match.end() : after.start()].strip()
        line = text[: match.start()].count("\n") + 1
        result.append(Block(match[1], match[2], line, after[2] if after and adjacent else None))
    return result


def run(code: str, namespace: dict, place: str, line: int) -> str:
    """What a block prints; a failure points into the page."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile("\n" * line + code, place, "exec"), namespace)
    return printed.getvalue()


def tidy(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def names(paths) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_the_python_of_a_page_prints_what_the_page_says(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "page"}
    for block in blocks(page.read_text()):
        if block.language == "python":
            printed = run(block.code, namespace, str(page), block.line)
            if block.below is not None or printed:
                assert tidy(printed) == tidy(block.below or ""), f"{page.name}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_the_studies_of_a_page_are_accepted_or_refused_as_it_says(page):
    for block in blocks(page.read_text()):
        if block.language != "toml" or "[data]" not in block.code:
            continue
        kind = StudySpec if "[compute]" in block.code else Spec
        if block.below is None:
            kind.from_mapping(tomllib.loads(block.code))
        else:
            with pytest.raises(SpecError) as refusal:
                Spec.from_mapping(tomllib.loads(block.code), source="study.toml")
            assert tidy(f"widthwise: {refusal.value}") == tidy(block.below)


EXAMPLES = tuple(sorted((ROOT / "examples").glob("*.toml")))


@pytest.mark.parametrize("example", EXAMPLES, ids=names(EXAMPLES))
def test_an_example_is_accepted_and_says_how_to_run_it(example):
    assert Spec.from_toml(example).title
    assert f"widthwise report {example.relative_to(ROOT)}" in example.read_text()


def test_the_reference_of_the_study_file_lists_every_field_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", (ROOT / "docs/study.md").read_text(), re.M)
    documented = {name: default.strip().strip("`") for name, default in rows}
    assert len(documented) == len(rows)
    top = {name: field for name, field in Spec.model_fields.items() if name not in _SECTIONS}
    sections = (Spec.model_fields[section].annotation.model_fields for section in _SECTIONS)
    fields = {name: field for part in (top, *sections) for name, field in part.items()}
    assert set(documented) == set(fields)
    for name, field in fields.items():
        if field.default_factory is None and field.default is not None:
            assert _value(documented[name]) == field.default, name


_SECTIONS = ("data", "network", "study")


def _value(text: str) -> object:
    value = tomllib.loads(f"value = {text}")["value"]
    return tuple(value) if isinstance(value, list) else value


# Docstrings. --------------------------------------------------------------------------------------


def _docstrings(file: Path) -> list[tuple[str, int]]:
    tree = ast.parse(file.read_text())
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, holders)]
    texts = [(ast.get_docstring(node, clean=True), getattr(node, "lineno", 1)) for node in nodes]
    return [(text, line) for text, line in texts if text]


MODULES = tuple(
    file
    for file in sorted(SOURCE.rglob("*.py"))
    if any(">>> " in text or "```python" in text for text, _ in _docstrings(file))
)


@pytest.mark.parametrize("file", MODULES, ids=[str(f.relative_to(SOURCE)) for f in MODULES])
def test_the_examples_of_a_module_run(file):
    parts = file.relative_to(SOURCE).with_suffix("").parts
    module = importlib.import_module(".".join(p for p in parts if p != "__init__"))
    for text, line in _docstrings(file):
        for indented in re.findall(r"^ *```python\n(.*?)^ *```", text, re.M | re.S):
            run(textwrap.dedent(indented), {"__name__": "docstring"}, str(file), line)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    report = io.StringIO()
    for text, line in _docstrings(file):
        # as a user has it: nothing of the module but what the example imports, and jax
        test = parser.get_doctest(text, {"jax": jax}, module.__name__, str(file), line)
        runner.run(test, out=report.write)
    assert runner.failures == 0, report.getvalue()
