"""Fields that are wrong by themselves: from pydantic's errors to sentences."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError

from widthwise.experiments.spec.errors import Problem
from widthwise.experiments.spec.sections import SECTIONS, Section
from widthwise.experiments.spec.toml import shown


def wrong_fields(
    error: ValidationError,
    raw: Mapping[str, Any],
    spec: type[Section],
    sections: Mapping[str, type[Section]] = SECTIONS,
) -> list[Problem]:
    """Pydantic's errors, one per place in the file ``raw`` of the model ``spec``."""
    found: dict[str, Problem] = {}
    for e in error.errors(include_url=False):
        path, value = _locate(e["loc"], raw)
        if path not in found and e["type"] != "default_factory_not_called":
            found[path] = Problem(path, *_received_and_remedy(e, path, value, spec, sections))
    return list(found.values())


_ABSENT = object()


def _locate(loc: tuple[int | str, ...], raw: Any) -> tuple[str, Any]:
    """Where in the file an error is, and the value there.

    Pydantic's location goes on inside a value that one field expanded (one number for all layers)
    or through branches of a union: the file ends earlier.
    """
    path, value = "", raw
    for level, key in enumerate(loc):
        if level < 2 and isinstance(value, Mapping):
            path = f"{path}.{key}" if path else str(key)
            if key not in value:
                return path, _ABSENT
            value = value[key]
        elif isinstance(value, list | tuple) and isinstance(key, int) and key < len(value):
            path, value = f"{path}[{key}]", value[key]
        else:
            break
    return path, value


_Sections: TypeAlias = Mapping[str, type[Section]]


def _received_and_remedy(
    e: Any, path: str, value: Any, spec: type[Section], sections: _Sections
) -> tuple[str | None, str]:
    received = None if value is _ABSENT else shown(value)
    if e["type"] == "extra_forbidden":
        return received, _unknown_field(spec, sections, *map(str, e["loc"][:2]))
    accepted = _field(spec, sections, path).description
    if e["type"] == "missing":
        return received, f"is missing; add {accepted}"
    if e["type"] == "value_error":
        return received, str(e["ctx"]["error"])
    return received, f"accepted: {accepted}"


def _field(spec: type[Section], sections: _Sections, path: str) -> Any:
    section, _, name = re.sub(r"\[\d+\]", "", path).partition(".")
    return sections[section].model_fields[name] if name else spec.model_fields[section]


def _unknown_field(
    spec: type[Section], sections: _Sections, first: str, second: str | None = None
) -> str:
    section, name = ("", first) if second is None else (first, second)
    known = list((sections[section] if section else spec).model_fields)
    elsewhere = [s for s, model in sections.items() if s != section and name in model.model_fields]
    place = f"[{section}]" if section else "the top of the file"
    if elsewhere:
        return f"does not belong to {place} but to [{elsewhere[0]}]; move it there"
    if section and name in spec.model_fields:
        return f"does not belong to {place} but to the top of the file; move it there"
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"unknown field; {guess}{place} takes {', '.join(known)}"
