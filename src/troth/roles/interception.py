"""Running a role inside another one that sees its effects, as attackers and witnesses of claims
do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from troth.roles.effects import Effect
from troth.roles.node import Node, Role
from troth.wire import Float32s

After = Callable[[Effect[Any], Any], Awaitable[Any]]
"""A function of an effect and of what came of it, which gives what the role is told came of it. It
may await effects of its own, and what it raises ends the role."""


async def intercept(
    role: Role,
    node: Node,
    *,
    before: Callable[[Effect[Any]], None] | None = None,
    after: After,
) -> Float32s | None:
    """Run `role` on `node`, and pass on each effect that it awaits. This works for every protocol,
    and none knows of it.

    Args:
      before: sees every effect before it is carried out; what it raises ends the role.
      after: sees every effect and what came of it; see `After`.

    Returns:
      What the role returns.
    """
    inner = role(node)
    value: Any = None
    try:
        while True:
            try:
                effect = inner.send(value)
            except StopIteration as stop:
                result: Float32s | None = stop.value
                return result
            if before is not None:
                before(effect)
            value = await after(effect, await effect)
    finally:
        inner.close()
