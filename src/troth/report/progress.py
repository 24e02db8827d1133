"""The live display of a run: one line per round, and a bar where there is somebody to watch it."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Protocol, TextIO

from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from troth.records import RoundRecord, Summary
from troth.report.text import counted, duration, number, percent, plain

REFRESH_S = 0.1
"""Seconds between two redraws of the bar on a terminal, however quick the rounds are."""


class Display(Protocol):
    """What a run tells whoever watches it.

    `finish` is called however the run ends, once, if `start` was called; a display that is not
    finished leaves the terminal without its cursor.
    """

    def start(self, summary: Summary) -> None:
        """The run begins, or goes on after `summary.rounds` rounds."""

    def round(self, record: RoundRecord) -> None:
        """A round is over, and this is its record."""

    def finish(self, summary: Summary) -> None:
        """The run is over, whichever way."""

    def message(self, text: str) -> None:
        """Show a sentence that whoever watches should read now."""


class QuietProgress:
    """A display that shows nothing."""

    def start(self, summary: Summary) -> None:
        """Nothing to show."""

    def round(self, record: RoundRecord) -> None:
        """Nothing to show."""

    def finish(self, summary: Summary) -> None:
        """Nothing to show."""

    def message(self, text: str) -> None:
        """Nothing to show."""


def live_progress(stream: TextIO | None = None) -> Display:
    """The display that fits `stream` (absent: standard error).

    On a terminal, and in a notebook that has ipywidgets, lines scroll above a bar. Anywhere else
    the same lines are written plainly, without colour or control characters.
    """
    stream = stream or _standard_error()
    if stream is None:
        return QuietProgress()
    console = Console(file=stream, highlight=False, soft_wrap=True)
    if console.is_jupyter:
        return BarProgress(console) if find_spec("ipywidgets") else LineProgress(stream)
    return (
        BarProgress(console)
        if console.is_terminal and not console.is_dumb_terminal
        else LineProgress(stream)
    )


def _standard_error() -> TextIO | None:
    """None where the process was started without one, which Python's types leave out."""
    return sys.stderr


class RoundLines:
    """Makes the line of a round. Its speed counts from the start of this process's part of the
    run."""

    def __init__(self, summary: Summary) -> None:
        self.planned = summary.rounds_planned
        self._simulated = summary.world == "simulated"
        self._first = summary.rounds
        self._started = time.perf_counter()

    def line(self, record: RoundRecord) -> str:
        """One line without a newline; what a round does not have, it does not mention."""
        width = len(str(self.planned))
        done = f"round {record.round:>{width}}" + (f"/{self.planned}" if self.planned else "")
        parts = [done]
        if record.metrics is not None:
            parts.append(f"error {percent(record.metrics.error):>8}")
            parts.append(f"loss {number(record.metrics.loss):<8}")
            if record.metrics.attack_rate is not None:
                parts.append(f"attack rate {percent(record.metrics.attack_rate):>8}")
        if record.accepted or record.rejected or record.missing:
            parts.append(f"accepted {len(record.accepted)}")
            parts.append(f"rejected {len(record.rejected)}")
            if record.missing:
                parts.append(f"missing {len(record.missing)}")
        if self._simulated:
            parts.append(f"simulated {duration(record.simulated_s)}")
        elapsed = time.perf_counter() - self._started
        rounds = record.round - self._first
        if rounds > 0 and elapsed > 0:
            parts.append(f"{rounds / elapsed:.1f} rounds/s")
            if record.round < self.planned:
                parts.append(f"ETA {duration((self.planned - record.round) * elapsed / rounds)}")
        return "  ".join(parts)


def opening(summary: Summary) -> str:
    """The line before the first round."""
    text = f"{summary.name}: {summary.protocol}, seed {summary.seed}"
    if summary.parties:
        text += f", {counted(len(summary.parties), 'party')}"
    if summary.rounds:
        text += f", goes on after round {summary.rounds}"
    return plain(text)


def noted(summary: Summary) -> list[str]:
    """The lines after it: what must be known before a run is waited for."""
    return [plain(f"note: {note}") for note in summary.notes]


def closing(summary: Summary) -> str:
    """The line after the last round."""
    text = f"{summary.name}: {summary.status} after {counted(summary.rounds, 'round')}"
    if summary.problem is not None:
        text += f": {summary.problem}"
    return plain(text)


class LineProgress:
    """Plain lines for a pipe or a file. Where they cannot be written any more, the run goes on
    without them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._lines: RoundLines | None = None

    def start(self, summary: Summary) -> None:
        """Write the opening line and the run's notes."""
        self._lines = RoundLines(summary)
        self._write(opening(summary))
        for line in noted(summary):
            self._write(line)

    def round(self, record: RoundRecord) -> None:
        """Write the round's line."""
        assert self._lines is not None, "start comes before round"
        self._write(self._lines.line(record))

    def finish(self, summary: Summary) -> None:
        """Write the closing line."""
        self._write(closing(summary))

    def message(self, text: str) -> None:
        """Writes `text` as a line of its own."""
        self._write(plain(text))

    def _write(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Closed, full, or nobody reads it: no reason to end a training.
            self._stream = None


class BarProgress:
    """Lines above a bar, for a terminal or a notebook.

    Drawing takes longer than a quick round, so a thread of its own draws, every `REFRESH_S`
    seconds, whatever lines have come since. The run only ever appends to a queue. Where the
    terminal has gone away, the run goes on without a display.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pending: deque[Text] = deque()
        self._done = 0
        self._lines: RoundLines | None = None
        self._bar: RichProgress | None = None
        self._stop = threading.Event()
        self._painter: threading.Thread | None = None
        self._gone = False
        """Whether there is no terminal any more."""

    def start(self, summary: Summary) -> None:
        """Print the opening line and the run's notes, and put up the bar."""
        with self._drawing():
            self._open(summary)
        self._lines = RoundLines(summary)
        self._done = summary.rounds
        self._stop.clear()
        self._painter = threading.Thread(target=self._paint, name="troth-progress", daemon=True)
        self._painter.start()

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Within this context something is drawn; that it cannot be is no reason to end a
        training."""
        try:
            yield
        except (OSError, ValueError):
            self._gone = True

    def _open(self, summary: Summary) -> None:
        self._console.print(Text(opening(summary), style="bold"))
        for line in noted(summary):
            self._console.print(Text(line))
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            console=self._console,
            auto_refresh=False,
            # Results on a redirected standard output are not ours to take.
            redirect_stdout=sys.stdout.isatty(),
            transient=True,
        )
        self._bar.add_task(
            plain(summary.name),
            total=summary.rounds_planned or None,
            completed=summary.rounds,
        )
        self._bar.start()

    def round(self, record: RoundRecord) -> None:
        """Queue the round's line."""
        assert self._lines is not None, "start comes before round"
        self._pending.append(Text(self._lines.line(record)))
        self._done = record.round

    def finish(self, summary: Summary) -> None:
        """Draw what is left, take the bar down and print the closing line."""
        if self._painter is not None:
            self._stop.set()
            self._painter.join()
            self._painter = None
        self._flush()
        output, bar = sys.stdout, self._bar
        self._bar = None
        if bar is not None:
            with self._drawing():
                bar.stop()
        if self._gone:
            # The bar may have been taken down half way, with standard output still behind it.
            sys.stdout = output if not isinstance(output, FileProxy) else output.rich_proxied_file
            return
        style = {"finished": "bold green", "failed": "bold red"}.get(summary.status, "bold yellow")
        with self._drawing():
            self._console.print(Text(closing(summary), style=style))

    def message(self, text: str) -> None:
        """Queue `text`; without a bar, print it at once."""
        self._pending.append(Text(plain(text), style="dim"))
        if self._painter is None:
            self._flush()

    def _paint(self) -> None:
        while not self._stop.wait(REFRESH_S):
            self._flush()

    def _flush(self) -> None:
        """Draw pending lines and the bar. Called by one thread at a time: the painter, or after it
        ended."""
        lines = [self._pending.popleft() for _ in range(len(self._pending))]
        if self._gone:
            return
        with self._drawing():
            if lines:
                self._console.print(Text("\n").join(lines))
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self._done)
                self._bar.refresh()
