"""The end of a run, as text for people and as JSON for programs."""

from __future__ import annotations

import msgspec

from troth.records import PartyPrivacy, ReleasePrivacy, Summary, pretty_json
from troth.report.read import Run
from troth.report.rows import MAX_HEADING, MAX_MEASURES
from troth.report.text import amount, counted, duration, number, percent, plain, shortened, size


def summary_table(run: Run) -> str:
    """What came of a run: aligned lines of plain text, without a trailing newline."""
    rows = [(label, plain(value)) for label, value in _rows(run.summary)]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)


def summary_json(run: Run) -> str:
    """`summary.json`, with the run's folder before it. Metrics that are not finite are null."""
    content = {"folder": str(run.path), **msgspec.structs.asdict(run.summary)}
    return pretty_json(content).decode()


def accepted_share(summary: Summary) -> str | None:
    """How many contributions were used, of all that came; None where the protocol takes none."""
    accepted = sum(party.accepted for party in summary.parties)
    rejected = sum(party.rejected for party in summary.parties)
    if accepted + rejected == 0:
        return None
    return f"{accepted:,} accepted, {rejected:,} rejected"


def _measure_rows(summary: Summary) -> list[tuple[str, str]]:
    """What parties have of each measure, by its name: from the least to the most, and the mean."""
    names = summary.measure_names()
    rows = []
    for name in names[:MAX_MEASURES]:
        held = [value for party in summary.parties if (value := party.measure(name)) is not None]
        spread = amount(held[0])
        if len(held) > 1:
            mean = amount(sum(held) / len(held))
            spread = f"{amount(min(held))} to {amount(max(held))}, mean {mean}"
        rows.append((shortened(plain(name), MAX_HEADING), spread))
    if len(names) > MAX_MEASURES:
        rows.append(("", f"and {len(names) - MAX_MEASURES:,} more measures in parties.jsonl"))
    return rows


MAX_PARTIES = 20
"""Parties whose privacy is listed; the others are counted."""


def _privacy_rows(summary: Summary) -> list[tuple[str, str]]:
    """What each party spent of its own privacy, where one has; nothing where nobody adds noise."""
    parties = [] if summary.privacy is None else summary.privacy.parties
    stopped = {party.party: party.stopped for party in summary.parties}
    lines = [f"{party.party}: {_spent(party, stopped.get(party.party))}" for party in parties]
    if len(lines) > MAX_PARTIES:
        lines = [*lines[:MAX_PARTIES], f"and {len(lines) - MAX_PARTIES:,} more in privacy.json"]
    return [("" if index else "privacy", line) for index, line in enumerate(lines)]


def _spent(party: PartyPrivacy, stopped: str | None) -> str:
    end = "" if stopped is None else f"; stopped: {stopped}"
    if party.by_release:
        return "; ".join([party.mechanism, *map(_released, party.by_release)]) + end
    if party.epsilon is None:
        return f"{party.mechanism}, nothing bounds what its updates reveal{end}"
    return (
        f"{party.mechanism}, epsilon {number(party.epsilon)} of {number(party.budget)} "
        f"(PLD {number(party.pld)}, RDP {number(party.rdp)}) at delta {number(party.delta)}, "
        f"{counted(party.releases, 'update')}{end}"
    )


def _released(release: ReleasePrivacy) -> str:
    paper = "" if release.paper is None else f", in the paper {number(release.paper)}"
    if release.epsilon is None:
        return f"{release.what}: nothing bounds what they reveal{paper}"
    return (
        f"{release.what}: epsilon {number(release.epsilon)} at delta {number(release.delta)}{paper}"
    )


def _rows(summary: Summary) -> list[tuple[str, str]]:
    rows = [("run", summary.name), ("status", summary.status)]
    if summary.problem is not None:
        rows.append(("problem", summary.problem))
    rows += [("protocol", summary.protocol), ("seed", str(summary.seed))]
    if summary.final is not None:
        test = counted(summary.final.examples, "test example")
        rows.append(("error", f"{percent(summary.final.error)} of {test}"))
        if summary.task == "regression":
            rows[-1] = ("error", f"{percent(summary.final.error)} mean relative, {test}")
        rows.append(("loss", number(summary.final.loss)))
        if summary.final.attack_rate is not None:
            rows.append(("attack rate", percent(summary.final.attack_rate)))
    rows.append(("rounds", f"{summary.rounds:,}"))
    attackers = sum(party.attacker is not None for party in summary.parties)
    parties = f"{len(summary.parties):,}"
    rows.append(("parties", f"{parties}, {attackers:,} of them attack" if attackers else parties))
    contributions = accepted_share(summary)
    if contributions is not None:
        rows.append(("contributions", contributions))
    rows += _measure_rows(summary)
    rows += _privacy_rows(summary)
    rows.append(("bytes sent", size(summary.bytes_sent)))
    if summary.world == "simulated":
        rows.append(("simulated time", duration(summary.simulated_s)))
    rows.append(("measured time", duration(summary.measured_s)))
    rows.append(("peak memory", size(summary.peak_rss_bytes)))
    if summary.trace_digest is not None:
        rows.append(("trace digest", summary.trace_digest))
    return rows
