"""The `[protocol]` table of `dssgd`."""

from __future__ import annotations

from typing import Literal

from troth.specification import Fraction, Positive, Table


class DSSGD(Table, tag_field="name", tag="dssgd", frozen=True, kw_only=True):
    """Distributed selective SGD (Shokri & Shmatikov, CCS 2015, section 5)."""

    order: Literal["round_robin", "asynchronous"] = "round_robin"
    """Whether parties take turns one after another, or each whenever it is ready."""
    upload: Fraction = 0.1
    """theta_u, the share of parameters uploaded."""
    download: Fraction = 1.0
    """theta_d, the share of parameters downloaded."""
    selection: Literal["largest", "random"] = "largest"
    """Which gradients to upload: the largest values, or a random share of those above
    `threshold`."""
    threshold: Positive = 1e-4
    """tau: `random` picks among gradients above it in absolute value."""
    bound: Positive | None = None
    """gamma: uploaded values are clipped to [-gamma, gamma]; absent: not clipped."""
    deadline_s: Positive | None = None
    """Seconds that a party waits for an answer before it asks again; absent: for ever."""
