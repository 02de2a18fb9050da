"""Finds approved classes and their methods. Importing them runs users' code: never call this in a face or a dispatcher.

Whether they are approved is for the caller to see before.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys

from running_jobs.errors import NoSuchClass, NoSuchMethod

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def search_path(python_path: list[str], *more: str) -> list[str]:
    """Return where a process that runs people's code looks for modules: theirs first, this project last."""
    return [*python_path, *(path for path in sys.path if path != PROJECT), *more, PROJECT]


def find_class(name: str) -> type:
    """Import the module of a dotted name and return the class. Raise NoSuchClass, or whatever the import raises."""
    parts = name.split(".")
    found: object = None
    depth = 0
    while depth < len(parts) - 1:  # the last part is the class, and no module to be imported
        module = _module(".".join(parts[: depth + 1]))
        if module is None:
            break
        found, depth = module, depth + 1
    for part in parts[depth:]:
        found = getattr(found, part, None)
        if not isinstance(found, type):
            raise NoSuchClass(name)
    assert isinstance(found, type)
    return found


def look_for_method(cls: type, name: str, method: str) -> None:
    """Raise NoSuchMethod unless a class, or a base of it other than object, defines a method of this name."""
    for base in cls.__mro__:
        if method in vars(base):
            if base is object or method.startswith("_") or not _is_method(vars(base)[method]):
                break
            return
    raise NoSuchMethod(name, method)


def callable_methods(cls: type) -> list[str]:
    """List the methods that look_for_method finds: those of a class first, then those of its bases."""
    named = [name for base in cls.__mro__ if base is not object for name in vars(base)]
    found = []
    for name in dict.fromkeys(named):
        try:
            look_for_method(cls, "", name)
        except NoSuchMethod:
            continue
        found.append(name)
    return found


def _is_method(attribute: object) -> bool:
    """Say whether what stands in a class is called as a method: a plain, class or static one, decorated or not."""
    if isinstance(attribute, (staticmethod, classmethod)):
        return callable(attribute.__func__) and not isinstance(attribute.__func__, type)
    if isinstance(attribute, (functools.partialmethod, functools.singledispatchmethod)):
        return True
    return callable(attribute) and hasattr(type(attribute), "__get__") and not isinstance(attribute, type)


def _module(name: str) -> object | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise  # it is there, and what it imports is not
