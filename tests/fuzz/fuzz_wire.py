"""Coverage-guided fuzzing of the wire codec: any bytes give a message or blame their sender.

Run it with the `fuzz` extra installed (`make fuzz` does):

    python tests/fuzz/fuzz_wire.py -runs=200000 -max_total_time=60 tests/fuzz/corpus/wire

What is given on the command line goes to libFuzzer. Inputs that reach new code are added to the
first folder; a crash leaves its input in the working folder, and giving that file repeats it.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import atheris  # type: ignore[import-untyped]  # ships no types
except ImportError:
    sys.exit(
        "error: atheris is not installed for this Python\n"
        "hint: pip install 'troth[fuzz]'; it has wheels for CPython on Linux, and a few months late"
    )

with atheris.instrument_imports(include=["troth.wire"]):
    from troth import wire

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ground"))

from wire_messages import CODEC, SENDER, same

from troth.errors import PeerError


def one_input(data: bytes) -> None:
    """Decode `data`; what decodes must encode, and decode again to the same message."""
    try:
        message = CODEC.decode(data, sender=SENDER)
    except PeerError as error:
        blamed = error
        message = None
    if message is None:
        assert blamed.culprits == (SENDER,)
        assert str(blamed).isprintable()
        return
    again = CODEC.decode(CODEC.encode(message), sender=SENDER)
    assert same(message, again)


def grow(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's mutations behind the version byte, which it would otherwise waste its time on."""
    mutated: bytes = atheris.Mutate(data[1:], max_size - 1)
    return bytes([wire.WIRE_VERSION if seed % 16 else seed % 256]) + mutated


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=grow)
    atheris.Fuzz()
