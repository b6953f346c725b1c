"""TOML in and out: a file as a mapping, and values as a file writes them."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from widthwise.experiments.spec.errors import Problem, SpecError


def read(path: Path) -> dict[str, Any]:
    """What a file says; raises :class:`SpecError`."""

    def failure(remedy: str) -> SpecError:
        return SpecError(str(path), [Problem("", None, remedy)])

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise failure(f"there is no such file, seen from {Path.cwd()}; check the name") from None
    except IsADirectoryError:
        raise failure("this is a folder; name the TOML file in it") from None
    except OSError as error:
        raise failure(f"the file cannot be read: {error.strerror or error}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise failure(f"line {line} is not UTF-8 text; save the file as UTF-8") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> dict[str, Any]:
    """What a text says; raises :class:`SpecError`, which calls the text ``source``."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        remedy = _toml_remedy(str(error), text)
    except RecursionError:
        remedy = "lists or tables are nested too deeply to be read; write them flat"
    except ValueError as error:  # an integer of more digits than Python reads
        remedy = f"holds a value that cannot be read ({error}); write a smaller number"
    raise SpecError(source, [Problem("", None, remedy)])


def _toml_remedy(message: str, text: str) -> str:
    reason, _, place = message.partition(" (at ")
    found = re.match(r"line (\d+)", place)
    lines = text.splitlines()
    number = int(found[1]) if found else len(lines)
    shown = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    reason = reason[:1].lower() + reason[1:]
    return (
        f"line {number} is not TOML ({reason}): {shown}\n"
        '      write fields as name = value, texts in "quotes", lists as [1, 2], sections as '
        "[study]"
    )


def document(tables: Mapping[str, Any]) -> str:
    """A mapping of plain values, and of sections of them, as a file."""
    sections = {name: v for name, v in tables.items() if isinstance(v, Mapping)}
    lines = [f"{name} = {inline(v)}" for name, v in tables.items() if name not in sections]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {inline(v)}" for key, v in section.items())]
    return "\n".join(lines)


def inline(value: Any) -> str:
    """A value as it stands in a file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    return str(value)


def shown(value: Any) -> str:
    """The same, shortened to stand in a message."""
    text = inline(value)
    return text if len(text) <= 72 else text[:69] + "..."
