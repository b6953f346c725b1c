"""Values as JSON knows them."""

from typing import Any


def plain(value: Any) -> Any:
    """Numbers and containers of numpy as JSON knows them; a number that is not finite is null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)
