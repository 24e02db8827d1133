"""Looks up a `module:callable` that a scenario names: a model, a data set, a rule, an attack.

Rules:

1. A module beside the scenario file goes before one on the Python path, and may import its
   neighbours.
2. Two scenario folders may each have a `task.py`, or one of them may lack it: when the folder
   changes, modules that came from the one before are forgotten. What they defined stays alive for
   whoever holds it.
3. A file beside the scenario never takes the name of a module that somebody else has loaded: that
   is an error, because the rest of the program would see the wrong one.
"""

from __future__ import annotations

import importlib
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from troth.errors import CharterError, LocalError

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

_folder_of: dict[str, Path] = {}
"""Modules that `resolve` loaded from beside a scenario, and the folder each came from."""


def resolve(reference: str, *, base: Path | None) -> Callable[..., Any]:
    """The callable that `reference` names.

    Importing runs the module's code, so a scenario is as trusted as a script.

    Args:
      reference: `module:callable`; both sides may have dots: `package.module:Class.method`.
      base: folder of the scenario file, searched first; None: only the Python path.

    Raises:
      CharterError: `reference` is malformed; there is no such module or attribute; importing
        raises; what it names is not callable; the module's name is taken.
    """
    if not _REFERENCE.fullmatch(reference):
        raise CharterError(
            f"{reference!r} is not of the form module:callable", hint='write "task:make_model", say'
        )
    module_name, _, attribute = reference.partition(":")
    found: Any = _import(module_name, None if base is None else base.resolve(), reference)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise CharterError(
                f"{reference!r} names nothing: {module_name} has no {attribute}",
                hint=f"define {attribute} in {getattr(found, '__file__', module_name)}, "
                "or correct the name",
            )
        found = getattr(found, name)
    if not callable(found):
        raise CharterError(
            f"{reference!r} names a {type(found).__name__}, which cannot be called",
            hint="name a function or a class",
        )
    return found  # type: ignore[no-any-return]  # what it returns is for the caller to check


@contextmanager
def users_code(reference: str, *, key: str, called: str) -> Iterator[None]:
    """Runs what `reference` names, and says of an error in it where it was raised.

    Args:
      key: where the scenario names it: `task.data.callable`.
      called: how Troth calls it, for the hint: `callable(train, parties, generator)`.

    Raises:
      CharterError: the code inside has raised anything but an error of Troth's own.
    """
    try:
        yield
    except LocalError:
        raise
    except (Exception, SystemExit) as error:
        raise CharterError(
            raised(error), key=key, value=reference, hint=f"it is called {called}"
        ) from error


def raised(error: BaseException, *, given: str = "") -> str:
    """What code of the user's own has raised, and where: `raised ValueError: no such table, in
    own_task.py, line 9`.

    Args:
      given: what it was given when it did: ` on an input of shape (2, 4)`.
    """
    said = f"raised {type(error).__name__}{given}"
    if str(error):
        said += f": {error}"
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{said}, in {error.filename}, line {error.lineno}"
    frame = users_frame(error)
    return said if frame is None else f"{said}, in {frame.filename}, line {frame.lineno}"


def users_error(error: BaseException) -> str | None:
    """An error that nobody has foreseen, if it came through the user's own code: `own_task.py, line
    9: forward raised ValueError: no such table`. None where it did not."""
    frame = users_frame(error)
    if frame is None:
        return None
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{frame.filename}, line {frame.lineno}: {frame.name} raised {said}"


def users_frame(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost line of the user's own code that an error came through: that of a
    `module:callable`, or of a protocol of another distribution. None where it came through none."""
    paths = sysconfig.get_paths()
    ours = Path(__file__).resolve().parent
    known = [ours, *(Path(paths[name]).resolve() for name in ("stdlib", "purelib", "platlib"))]
    extensions = _extensions()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if not file.is_file():
            continue
        place = file.resolve()
        if any(map(place.is_relative_to, extensions)) or not any(map(place.is_relative_to, known)):
            return frame
    return None


def _extensions() -> list[Path]:
    """Where the code of other distributions' protocols lies, as far as it was imported."""
    found = []
    for entry in entry_points(group="troth.protocols"):
        module = sys.modules.get(entry.module.partition(".")[0])
        file = getattr(module, "__file__", None)
        if file is not None:
            place = Path(file).resolve()
            found.append(place.parent if place.name == "__init__.py" else place)
    return found


def code_beside(base: Path) -> dict[str, str]:
    """The modules that `resolve` has loaded from beside a scenario, with the SHA-256 of each."""
    found = {}
    for name, folder in _folder_of.items():
        file = getattr(sys.modules.get(name), "__file__", None)
        if folder == base.resolve() and file is not None and Path(file).is_file():
            found[name] = sha256(Path(file).read_bytes()).hexdigest()
    return dict(sorted(found.items()))


def _import(name: str, folder: Path | None, reference: str) -> ModuleType:
    beside = folder is not None and _holds(folder, name)
    if beside or _is_of_another(folder, name):
        _forget_other_folders(folder)
    if beside:
        assert folder is not None
        _refuse_taken_name(name, folder)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
    before = set(sys.modules)
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _import_error(error, name, folder, reference) from error
    finally:
        if beside:
            sys.path.remove(str(folder))
            assert folder is not None
            for new in sys.modules.keys() - before:
                if _lies_in(sys.modules[new], folder):
                    _folder_of[new] = folder
    return module


def _holds(folder: Path, name: str) -> bool:
    """Whether the first part of the dotted `name` is a module or package in `folder`."""
    top = name.partition(".")[0]
    return (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()


def _is_of_another(folder: Path | None, name: str) -> bool:
    """Whether the first part of the dotted `name` was loaded from beside another scenario."""
    return _folder_of.get(name.partition(".")[0], folder) != folder


def _forget_other_folders(folder: Path | None) -> None:
    for name in [name for name, owner in _folder_of.items() if owner != folder]:
        sys.modules.pop(name, None)
        del _folder_of[name]


def _refuse_taken_name(name: str, folder: Path) -> None:
    top = name.partition(".")[0]
    taken = top in sys.builtin_module_names
    if top in sys.modules:
        taken = not _lies_in(sys.modules[top], folder)
    if taken:
        raise CharterError(
            f"{folder / top} has the name of the Python module {top}, which is already in use",
            hint="give the file beside the scenario another name",
        )


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)


def _import_error(
    error: BaseException, name: str, folder: Path | None, reference: str
) -> CharterError:
    missing = isinstance(error, ModuleNotFoundError) and error.name is not None
    if missing and f"{name}.".startswith(f"{getattr(error, 'name', '')}."):
        place = "" if folder is None else f"beside the scenario in {folder}, nor "
        return CharterError(
            f"{reference!r} names no module: {name} is not {place}on the Python path",
            hint=f"put {name.replace('.', '/')}.py beside the scenario file, or install it",
        )
    return CharterError(
        f"{reference!r} cannot be imported: {name} {raised(error)}",
        hint=f'try it alone: python -c "import {name}"',
    )
