"""Pieces of HTML: sections, lists, data in scripts, and words as a page sets them."""

import json
import re
from collections.abc import Iterable
from html import escape
from importlib import resources

from widthwise.show.verdict import number


def asset(name: str) -> str:
    """The text of a file that stands beside this one."""
    return resources.files("widthwise.show.report").joinpath(name).read_text(encoding="utf-8")


def section(id: str, title: str, content: str) -> str:
    """A section under its heading."""
    return f'<section aria-labelledby="{id}"><h2 id="{id}">{title}</h2>{content}</section>'


def items(texts: Iterable[str], kind: str = "") -> str:
    """Plain texts as a list, n^(…) set as a superscript (the parentheses are the power's own)."""
    lines = "".join(f"<li>{_exponents(escape(text))}</li>" for text in texts)
    return f'<ul class="{kind}">{lines}</ul>' if kind else f"<ul>{lines}</ul>"


def _exponents(text: str) -> str:
    return re.sub(r"n\^\(([^)]*)\)", lambda m: f"n<sup>{m[1].replace('-', '−')}</sup>", text)


def data_script(id: str, value: object) -> str:
    """A value as JSON that scripts of the page read."""
    return json_script(id, json.dumps(value, ensure_ascii=False, allow_nan=False))


def json_script(id: str, text: str) -> str:
    """JSON that no HTML parser can leave: "<" occurs only within strings and may be escaped."""
    inert = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{id}">{inert}</script>'


def capital(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 90:
        return f"{number(seconds, 2)} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
