"""Docstrings as the reference shows them: runnable examples as code, cross-references as names."""

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod):`~?([\w.]+)`")
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Turns ``Example:`` into the section that griffe reads, and Sphinx roles into code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for everything that may have a docstring."""
        if obj.docstring is not None:
            text = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub("Examples:", text)
