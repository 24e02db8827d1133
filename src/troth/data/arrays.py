"""NPZ files: arrays in a zip archive, read without trusting a size or running a pickle."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from troth.data import sources
from troth.errors import DataError


def read_npz(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of an `.npz` file.

    Raises:
      DataError: the file is missing, damaged or too large; an array is missing, holds Python
        objects, or is not as long as it claims.
    """
    data = sources.read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: _read_array(archive, name, path) for name in names}
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, SyntaxError,
    ) as error:  # fmt: skip
        # RuntimeError: an encrypted member, or (NotImplementedError) an unknown compression.
        raise DataError(
            f"{path}: is not a sound NPZ file: {error}",
            hint="write it with numpy.savez or numpy.savez_compressed",
        ) from None


def _read_array(archive: zipfile.ZipFile, name: str, path: Path) -> npt.NDArray[Any]:
    members = archive.namelist()
    if f"{name}.npy" not in members:
        shown = ", ".join(member.removesuffix(".npy") for member in members[:20]) or "none"
        raise DataError(
            f"{path}: has no array {name!r}", hint=f"its arrays are {shown}; names must match"
        )
    member = archive.getinfo(f"{name}.npy")
    # A zip member never yields more than the size its entry states, so this bounds the memory.
    if member.file_size > sources.MAX_UNPACKED_BYTES:
        raise DataError(
            f"{path}: array {name} takes {member.file_size} bytes, above "
            f"MAX_UNPACKED_BYTES = {sources.MAX_UNPACKED_BYTES}",
            hint="keep fewer rows",
        )
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"array {name} has format version {version}")
        if dtype.hasobject:
            raise DataError(
                f"{path}: array {name} holds Python objects, which are never loaded",
                hint="save plain numbers or text: array.astype(float), say",
            )
        # numpy allocates what the header says before it reads: a few bytes could claim anything.
        claimed_bytes = dtype.itemsize
        for length in shape:
            claimed_bytes *= length
        held_bytes = member.file_size - file.tell()
        if claimed_bytes != held_bytes:
            raise ValueError(
                f"array {name} of shape {shape} should take {claimed_bytes} bytes, not {held_bytes}"
            )
    with archive.open(member) as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def finite_numbers(
    array: npt.NDArray[Any], name: str, path: Path, *, minimum: float | None, maximum: float | None
) -> npt.NDArray[np.float64] | npt.NDArray[np.float32]:
    """`array` as it is when it is float32, else as float64.

    Raises:
      DataError: not numbers, or a value is not finite or outside [minimum, maximum]; names the row.
    """
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: array {name} holds {array.dtype}, not numbers", hint="save it as float32"
        )
    values: npt.NDArray[Any] = array if array.dtype == np.float32 else array.astype(np.float64)
    # Beyond float32's range a float64 would become infinite later on. NaN is not below anything.
    within = np.abs(values) <= np.finfo(np.float32).max
    wrong, problem = ~within, "is not a finite float32 number"
    if within.all() and minimum is not None and maximum is not None:
        wrong = (values < minimum) | (values > maximum)
        problem = f"is outside {minimum:g} to {maximum:g}"
    if wrong.any():
        row = int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1)))
        value = values[row][wrong[row]].flat[0] if values.ndim > 1 else values[row]
        raise DataError(
            f"{path}: row {row + 1}, array {name}: {value} {problem}", hint="mend or remove the row"
        )
    return values
