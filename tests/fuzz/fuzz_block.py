"""Coverage-guided fuzzing of blocks: any bytes are a block that may be checked, or blame their
sender, and so does every check of it.

Run it with the `fuzz` extra installed:

    python tests/fuzz/fuzz_block.py -runs=200000 -max_total_time=60 corpus

What is given on the command line goes to libFuzzer; `corpus` is filled with the blocks of a small
chain first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

try:
    import atheris  # type: ignore[import-untyped]  # ships no types
except ImportError:
    sys.exit(
        "error: atheris is not installed for this Python\n"
        "hint: pip install 'troth[fuzz]'; it has wheels for CPython on Linux, and a few months late"
    )

with atheris.instrument_imports(include=["troth.chain", "troth.wire"]):
    from troth import wire
    from troth.protocols.biscotti.ledger import block, link

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "protocols/biscotti/ledger"))

from small_chain import SENDER, small_blocks, small_genesis

from troth.chain.sealed import altered_field
from troth.errors import PeerError
from troth.protocols.biscotti.ledger.block import (
    CertifiedBlock,
    read_block,
    read_certificate,
    seal_block,
)

T = TypeVar("T")

GENESIS = small_genesis()
FIRST = link.first_state(GENESIS)
BLOCKS = small_blocks()


def outcome(step: Callable[[], T]) -> T | None:
    """What `step` gives, or None where it blames the sender, in words that may be printed."""
    blamed: PeerError | None = None
    try:
        return step()
    except PeerError as error:
        blamed = error
    assert SENDER in blamed.culprits
    assert str(blamed).isprintable()
    return None


def one_input(data: bytes) -> None:
    """Read `data` as a block and as a certificate, and check what comes of it."""
    outcome(lambda: read_certificate(data, sender=SENDER))
    read = outcome(lambda: read_block(data, sender=SENDER))
    if read is None:
        return
    assert seal_block(read.content) == read
    assert read.data == data
    assert altered_field(data, read.index) is None
    for certificate in (None, BLOCKS[0].certificate):
        certified = CertifiedBlock(read, certificate)
        outcome(lambda found=certified: link.check_link(GENESIS, FIRST, found, sender=SENDER))
    # Without a certificate in the way, the checks behind it see the block, too.
    check = link._Check(GENESIS, FIRST, read.content, SENDER)
    for each in (check.seed, check.lists, check.signatures, check.aggregate, check.evidence):
        outcome(each)


def grow(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's mutations behind the version byte, which it would otherwise waste its time on."""
    mutated: bytes = atheris.Mutate(data[1:], max_size - 1)
    return bytes([wire.WIRE_VERSION if seed % 16 else seed % 256]) + mutated


def plant(folder: Path) -> None:
    """Blocks to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, found in enumerate(BLOCKS):
        (folder / f"block-{number}").write_bytes(found.block.data)
        if found.certificate is not None:
            data = block.encode_certificate(found.certificate)
            (folder / f"certificate-{number}").write_bytes(data)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if not argument.startswith("-"):
            plant(Path(argument))
    atheris.Setup(sys.argv, one_input, custom_mutator=grow)
    atheris.Fuzz()
