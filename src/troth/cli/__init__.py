"""The command line: `troth VERB`.

Rules:

1. Results go to standard output; talk (progress, where the report is, what to do next, errors) to
   standard error.
2. A failure is one line `error: ...`, mostly one line `hint: ...`, and an exit code; with
   `--format json` it is one JSON object. There is never a traceback, unless TROTH_TRACEBACK is set.
3. A verb's module imports nothing heavy. The verb itself imports what it needs when it is called,
   so that every `--help` appears at once.
"""

from __future__ import annotations

from troth.cli.root import main, run

__all__ = ["main", "run"]
