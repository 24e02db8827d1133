"""What a caller in Python gives: keys of a scenario with their values, and paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tomlkit
from tomlkit.exceptions import ConvertError

from troth.errors import CharterError, UsageError

MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095
"""What file systems take."""


def overrides_of(values: Mapping[str, object]) -> list[str]:
    """Keyword arguments as overrides: `training__rounds=5` as `training.rounds=5`.

    Numbers and arrays of numpy are taken for those of Python, and paths for their text.

    Raises:
      CharterError: a value is nothing that a scenario can hold; names the key.
    """
    overrides = []
    for name, value in values.items():
        key = name.replace("__", ".")
        try:
            overrides.append(f"{key}={_toml(value, key)}")
        except RecursionError:
            raise CharterError(
                "holds itself, or is nested too deeply", key=key, hint="give plain values"
            ) from None
    return overrides


def _toml(value: object, key: str) -> str:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        try:
            value = os.fspath(value)
        except Exception:  # the caller's own `__fspath__`
            raise _cannot_hold(value, key) from None
    if isinstance(value, list | tuple):
        # tomlkit would make tables of their own of tables in a list, which an override cannot hold.
        return f"[{', '.join(_toml(each, key) for each in value)}]"
    if isinstance(value, Mapping):
        inner = (f"{_name(name, key)} = {_toml(each, key)}" for name, each in value.items())
        return f"{{{', '.join(inner)}}}"
    try:
        if isinstance(value, str):
            value.encode()  # half a character is no text of a file
        return tomlkit.item(value).as_string()
    except (ConvertError, ValueError):
        raise _cannot_hold(value, key) from None


def _name(name: object, key: str) -> str:
    if not isinstance(name, str):
        raise _cannot_hold(name, key)
    return tomlkit.key(name).as_string()


def _cannot_hold(value: object, key: str) -> CharterError:
    if callable(value):
        name = getattr(value, "__qualname__", "name")
        module = getattr(value, "__module__", None) or "module"
        return CharterError(
            f"is {name} itself, and a scenario names code by where it is",
            key=key,
            hint=f'put it into a module beside the scenario, and give "{module}:{name}"',
        )
    return CharterError(
        f"is of type {type(value).__name__}, which a scenario cannot hold",
        key=key,
        hint="give a number, a text, True or False, or a list or dictionary of these",
    )


def path_of(value: object, what: str) -> Path:
    """A path that a caller gives.

    Args:
      what: the argument, for the error.

    Raises:
      UsageError: it is no path.
    """
    try:
        # What code of the caller's own has in `__fspath__` may raise anything, or give bytes.
        text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    except Exception:
        text = None
    problem = "is not a path" if not isinstance(text, str) else _problem_of(text)
    if problem is not None:
        raise UsageError(f"{what} = {shown(value)} {problem}", hint="give a text or a pathlib.Path")
    assert isinstance(text, str)
    return Path(text)


def _problem_of(text: str) -> str | None:
    """Why the system could have no file of this path; None if it could."""
    try:
        parts = [len(os.fsencode(part)) for part in Path(text).parts]
    except UnicodeEncodeError:
        return "is not a path"
    if "\0" in text:
        return "is not a path"
    if max(parts, default=0) > MAX_NAME_BYTES or sum(parts) > MAX_PATH_BYTES:
        return "is not a path: file name too long"
    return None


def shown(value: object) -> str:
    """A value in an error: what it prints as, or its type where it prints as nothing."""
    try:
        return ascii(value)[:80]
    except Exception:  # the caller's own `__repr__`, or an integer of too many digits
        return type(value).__name__
