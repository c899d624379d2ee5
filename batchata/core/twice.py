"""Keys that a YAML file has twice in one place, of which its readers silently drop the first."""

from __future__ import annotations

from typing import Any


def twice_in(node: Any) -> Any:
    """A key that a mapping below a YAML node has a second time; None without one."""
    if node is None or isinstance(node.value, str):
        return None
    below = node.value
    if node.id == "mapping":
        keys = [key for key, _ in node.value]
        seen = [key.value for key in keys]
        for number, key in enumerate(keys):
            if isinstance(key.value, str) and key.value in seen[:number]:
                return key
        below = [value for _, value in node.value]
    return next((found for each in below if (found := twice_in(each)) is not None), None)
