"""`troth check` says what a scenario would do, without running it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from troth.cli.columns import columns
from troth.cli.verb import FILE, Format, Verb, format_option, set_option, talk

if TYPE_CHECKING:
    from troth.charter.dry_run import DryRun


@click.command(cls=Verb)
@click.argument("file", type=FILE)
@set_option
@format_option
def check(file: Path, changes: tuple[str, ...], format: Format) -> None:
    """Say what the scenario in FILE would do, without doing it.

    Who takes part, what they would send, and what privacy they would spend. Messages and bytes are
    those of a run without faults. Where the data are on this machine, they are dealt and one update
    is computed, to find what a run would be refused for; with a rule, a verifier or an attack of
    your own, all of round 1. Nothing is downloaded.
    """
    import msgspec

    from troth.charter.dry_run import dry_run
    from troth.charter.loading import load_scenario
    from troth.data.root import data_root
    from troth.errors import charter_errors_in
    from troth.records import pretty_json
    from troth.runs.rehearsal import rehearse

    loaded = load_scenario(file, overrides=changes)
    with charter_errors_in(file):
        # First, so that an error is the one that a simulation ends with.
        unchecked = rehearse(loaded, root=data_root())
        result = dry_run(loaded)
    if unchecked is not None:
        result = msgspec.structs.replace(result, notes=[*result.notes, unchecked])
    click.echo(pretty_json(result).decode() if format == "json" else _text(result))
    command = ["troth", "simulate", str(file)]
    for change in changes:
        command += ["--set", change]
    talk(f"next: {shlex.join(command)}")


def _text(result: DryRun) -> str:
    from troth.report.text import counted, size

    rows = [
        ("charter", result.name),
        ("digest", result.charter_digest),
        ("protocol", result.protocol),
        ("seed", str(result.seed)),
        ("rounds", f"{result.rounds:,}"),
        ("model", counted(result.dimension, "parameter")),
        ("parties", f"{len(result.parties):,}: {_names(result.parties)}"),
    ]
    if result.extension is not None:
        code = result.extension
        rows.insert(3, ("its code", f"{code.distribution} {code.version}, {code.digest}"))
    if result.coordinator is not None:
        rows.append(("coordinator", result.coordinator))
    if result.asked:
        rows.append(("at work", f"{counted(result.asked, 'party')} a round"))
    for attack in result.attacks:
        rows.append(("attack", f"{attack.kind}: {_names(attack.parties)}"))
    privacy = result.privacy
    rows.append(("privacy", f"{privacy.mechanism}: {privacy.note}"))
    rows += [("note", note) for note in result.notes]
    if not result.traffic:
        return f"{columns(rows)}\n\nnothing is sent"
    sent = [("sent in a round", "messages", "bytes")]
    for name, traffic in result.traffic.items():
        sent.append((name, f"{traffic.messages:,}", f"{traffic.bytes:,}"))
    messages = sum(traffic.messages for traffic in result.traffic.values())
    sent.append(("together", f"{messages:,}", f"{result.bytes_per_round:,}"))
    in_all = f"in all rounds: {size(result.bytes_in_all)}"
    return f"{columns(rows)}\n\n{columns(sent, right=(1, 2))}\n{in_all}"


def _names(names: Sequence[str]) -> str:
    """All of them, or the first and the last."""
    if len(names) <= 8:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} ... {names[-1]}"
