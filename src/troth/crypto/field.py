"""Matrices over F_r, the scalar field of BLS12-381, in numpy.

An element is 16 limbs of 16 bits, least significant first: the last axis of a little-endian uint16
array. In memory these are the 32 bytes that travel, so encoding copies and nothing else. Arrays
whose values are small may have fewer limbs.

Why limbs: a library of large numbers would spend more time on turning bytes into numbers and back
than on arithmetic, and numpy lets other threads run meanwhile. Products of limbs go through float64
matrix products, whose sums stay below 2^53 and are therefore exact in any order. Time depends on
the values, as it does in the group's library.

Shapes: N and R rows, L columns, W limbs, T terms of a sum. Last axes are limbs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from troth.errors import PeerError
from troth.ids import NodeId
from troth.privacy.noise import RandomBits
from troth.wire import Float64s, Int64s

Elements = npt.NDArray[np.uint16]

ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""r, the order of the field and of the group G1; 255 bits."""
LIMBS = 16
ELEMENT_BYTES = 32
MAX_TERMS = 2**16
"""Most terms of one sum: float64 would hold 2^21 products of two limbs exactly."""

_LIMB = np.dtype("<u2")
_INT64_LIMBS = 4
_MAX_CHUNK = 2**19
"""Limbs, or products of limbs, that are held at once, 8 bytes each."""


def _limbs(value: int) -> Elements:
    return np.frombuffer(value.to_bytes(ELEMENT_BYTES, "little"), dtype=_LIMB)


_ORDER_LIMBS = _limbs(ORDER).astype(np.int64)
_FOLD = np.stack(
    [_limbs(pow(2, 16 * (LIMBS + above), ORDER)) for above in range(LIMBS + 4)], axis=1
).astype(np.float64)
"""Column i: 2^(16 (16 + i)) mod r, by which the limbs above the sixteenth are replaced."""
_QUOTIENT = np.array([2 ** (16 * place) / ORDER for place in range(LIMBS)])
_QUOTIENT_SLACK = 2.0**-20


def elements(values: Sequence[int]) -> Elements:
    """The values modulo r, shape (N, 16)."""
    data = b"".join((value % ORDER).to_bytes(ELEMENT_BYTES, "little") for value in values)
    return np.frombuffer(data, dtype=_LIMB).reshape(-1, LIMBS)


def integers(elements_NW: Elements) -> list[int]:
    """The values as Python integers, in the order of the array's elements."""
    size = 2 * elements_NW.shape[-1]
    data = np.ascontiguousarray(elements_NW, dtype=_LIMB).tobytes()
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


def from_unsigned(values: Int64s, *, short: bool = False) -> Elements:
    """Nonnegative integers as elements of four limbs, shape (..., 4).

    Args:
      short: all are below 2^32, and two limbs are enough.
    """
    little = np.ascontiguousarray(values, dtype="<u4" if short else "<i8")
    return little.view(_LIMB).reshape(*values.shape, _INT64_LIMBS // 2 if short else _INT64_LIMBS)


def from_signed(values: Int64s) -> Elements:
    """Integers modulo r, shape (..., 16); a negative v is r - |v|."""
    flat = values.ravel()
    signed = np.empty((flat.size, LIMBS), dtype=_LIMB)
    for start in range(0, flat.size, _MAX_CHUNK // LIMBS):
        piece = flat[start : start + _MAX_CHUNK // LIMBS]
        planes = np.where(piece < 0, _ORDER_LIMBS[:, None], 0)
        planes[:_INT64_LIMBS] += from_unsigned(np.abs(piece)).T * np.sign(piece)
        signed[start : start + len(piece)] = _carried(planes)
    return signed.reshape(*values.shape, LIMBS)


def to_signed(elements_NW: Elements, bound: int) -> Int64s | None:
    """The integers of absolute value up to `bound` that these elements stand for.

    Args:
      bound: below 2^62.

    Returns:
      shape (N,); None where an element stands for none.
    """
    shifted_NW = total([elements_NW, np.broadcast_to(elements([bound]), elements_NW.shape)])
    if shifted_NW[..., _INT64_LIMBS:].any():
        return None
    values = np.ascontiguousarray(shifted_NW[..., :_INT64_LIMBS]).view("<i8")[..., 0]
    # Read as signed: what has the 64th bit set is out of range too.
    if ((values < 0) | (values > 2 * bound)).any():
        return None
    shifted_back: Int64s = values - bound
    return shifted_back


def random_elements(bits: RandomBits, count: int) -> Elements:
    """Independent uniform elements, shape (count, 16): 255 bits, drawn again where not below r."""
    drawn = np.empty((count, LIMBS), dtype=_LIMB)
    open_N = np.arange(count)
    while len(open_N):
        # A copy: the operating system's bits are read-only.
        words = bits.words(4 * len(open_N)).reshape(-1, 4).copy()
        words[:, 3] &= np.uint64(2**63 - 1)
        drawn[open_N] = words.astype("<u8").view(_LIMB)
        open_N = open_N[_not_below_order(drawn[open_N])]
    return drawn


def random_weights(bits: RandomBits, count: int) -> list[int]:
    """Independent uniform integers of 128 bits, for checking many equations at once.

    If one of the equations does not hold, their sum weighted so holds with probability at most
    2^-128, as long as whoever made the equations could not know the weights.
    """
    return integers(bits.words(2 * count).astype("<u8").view(_LIMB).reshape(-1, 8))


def encode_elements(elements_NW: Elements) -> bytes:
    """32 little-endian bytes for each."""
    return np.ascontiguousarray(elements_NW, dtype=_LIMB).tobytes()


def parse_elements(data: bytes, count: int, *, sender: NodeId) -> Elements:
    """What `encode_elements` wrote, shape (count, 16); a read-only view of `data`.

    Raises:
      PeerError: these are not `count` elements, or one is not below r; the culprit is `sender`.
    """
    if len(data) != count * ELEMENT_BYTES:
        raise PeerError(
            f"sent {len(data)} bytes for {count} field elements of {ELEMENT_BYTES} bytes",
            culprits=(sender,),
        )
    parsed = np.frombuffer(data, dtype=_LIMB).reshape(count, LIMBS)
    if _not_below_order(parsed).any():
        raise PeerError("sent a field element that is not below r", culprits=(sender,))
    return parsed


def total(terms: Sequence[Elements]) -> Elements:
    """The sum modulo r of up to `MAX_TERMS` arrays of equal shape, all with 16 limbs."""
    if not 1 <= len(terms) <= MAX_TERMS:
        raise ValueError(f"{len(terms)} terms are not 1 to {MAX_TERMS}")
    flat = [term.reshape(-1, LIMBS) for term in terms]
    summed = np.empty(flat[0].shape, dtype=_LIMB)
    for start in range(0, len(summed), _MAX_CHUNK // LIMBS):
        piece = slice(start, start + _MAX_CHUNK // LIMBS)
        wide = np.zeros(flat[0][piece].shape)
        for term in flat:
            wide += term[piece]
        summed[piece] = _reduced(wide.T)
    return summed.reshape(terms[0].shape)


def matmul(left_NR: Sequence[Sequence[int]], right_RLW: Elements) -> Elements:
    """The product modulo r, shape (N, L, 16).

    Args:
      left_NR: from 0 to r - 1; the smaller the largest of them, the quicker.
      right_RLW: up to `MAX_TERMS` rows; with few limbs it is quicker.
    """
    terms, columns, right_limbs = right_RLW.shape
    rows = len(left_NR)
    if not 1 <= terms <= MAX_TERMS or any(len(row) != terms for row in left_NR):
        raise ValueError(f"rows of {terms} factors are needed, 1 to {MAX_TERMS}")
    left_limbs = max(1, (max(map(max, left_NR)).bit_length() + 15) // 16)
    width_bytes = 2 * left_limbs
    # Lists, not generators: a thousand numbers are turned into bytes in every commitment.
    data = b"".join([value.to_bytes(width_bytes, "little") for row in left_NR for value in row])
    left_NRV = np.frombuffer(data, dtype=_LIMB).reshape(rows, terms, left_limbs)
    left_VN_R = left_NRV.transpose(2, 0, 1).reshape(-1, terms).astype(np.float64)

    product_NLW = np.empty((rows, columns, LIMBS), dtype=_LIMB)
    step = max(1, _MAX_CHUNK // (rows * left_limbs * right_limbs))
    for start in range(0, columns, step):
        chunk_RLW = right_RLW[:, start : start + step]
        width = chunk_RLW.shape[1]
        right_RWL = np.ascontiguousarray(chunk_RLW.transpose(0, 2, 1), dtype=np.float64)
        products = left_VN_R @ right_RWL.reshape(terms, -1)
        products = products.reshape(left_limbs, rows, right_limbs, width)
        planes = np.zeros((left_limbs + right_limbs - 1, rows, width))
        for place in range(left_limbs):
            planes[place : place + right_limbs] += products[place].transpose(1, 0, 2)
        reduced = _reduced(planes.reshape(len(planes), -1))
        product_NLW[:, start : start + width] = reduced.reshape(rows, width, LIMBS)
    return product_NLW


def _reduced(planes_WN: Float64s) -> Elements:
    """Modulo r, shape (N, 16). Limbs are whole numbers from 0 to 2^53, at most 33 of them."""
    count = planes_WN.shape[1]
    wide = planes_WN.astype(np.int64)
    # Limbs below 2^18, without a carry that has to wait for the one before it.
    low = np.zeros((max(LIMBS, len(wide) + 3), count), dtype=np.int64)
    for place in range(4):
        low[place : place + len(wide)] += (wide >> (16 * place)) & 0xFFFF
    folded = low[:LIMBS].astype(np.float64)
    if len(low) > LIMBS:
        folded += _FOLD[:, : len(low) - LIMBS] @ low[LIMBS:].astype(np.float64)
    # The sum is below 2^25 r, so the quotient is right, or 1 too small where the rest is near 0,
    # which is rare; it is never too large.
    quotient_N = np.floor(np.maximum(_QUOTIENT @ folded - _QUOTIENT_SLACK, 0)).astype(np.int64)
    reduced = _carried(folded.astype(np.int64) - _ORDER_LIMBS[:, None] * quotient_N)
    again = np.flatnonzero(_not_below_order(reduced))
    if len(again):
        reduced[again] = _carried(reduced[again].T.astype(np.int64) - _ORDER_LIMBS[:, None])
    return reduced


def _carried(planes_WN: Int64s) -> Elements:
    """Limbs of any sign and size, of values from 0 to 2^256 - 1, as elements (N, 16)."""
    carried = np.empty((planes_WN.shape[1], LIMBS), dtype=_LIMB)
    carry = np.zeros(planes_WN.shape[1], dtype=np.int64)
    for place in range(LIMBS):
        carry += planes_WN[place]
        carried[:, place] = carry & 0xFFFF
        carry >>= 16
    assert not carry.any(), "a value is outside 0 to 2^256 - 1"
    return carried


def _not_below_order(elements_N16: Elements) -> npt.NDArray[np.bool_]:
    """Which elements are r or more, shape (N,)."""
    reaching = np.flatnonzero(elements_N16[:, -1] >= _ORDER_LIMBS[-1])
    values = integers(elements_N16[reaching])
    above = np.zeros(len(elements_N16), dtype=np.bool_)
    above[reaching] = [value >= ORDER for value in values]
    return above
