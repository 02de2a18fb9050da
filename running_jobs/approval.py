"""Which classes and methods may be jobs: those that the setting allowed_classes names. Pure: imports none of them.

An entry is the exact dotted name of a class, or `module.Class.method`, which approves that one method alone.
An empty list approves nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from running_jobs.errors import NoSuchMethod, NotApproved


def refuse_unless_approved(name: str, method: str, allowed_classes: Collection[str]) -> None:
    """Raise NotApproved for a class or method that the settings do not name, NoSuchMethod for one that none may call.

    Nothing but names is looked at: whether they exist is for `classes` to see, and only of what is approved.
    """
    is_named = name in allowed_classes or f"{name}.{method}" in allowed_classes
    if not is_named or not is_class_name(name):
        raise NotApproved(name)
    if not is_method_name(method):
        raise NoSuchMethod(name, method)


def is_class_name(text: str) -> bool:
    """Say whether a text has the form of a class's name, `module.Class`, no part of it private."""
    parts = text.split(".")
    return len(parts) > 1 and all(_is_public(part) for part in parts)


def is_method_name(text: str) -> bool:
    """Say whether a text has the form of a method's name, not private; so it is none of object's, which are dunder."""
    return _is_public(text)


def _is_public(part: str) -> bool:
    return part.isidentifier() and not part.startswith("_")
