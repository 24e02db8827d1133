"""A node plays while its messages are carried."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def while_carried(carry: Coroutine[Any, Any, None], play: Coroutine[Any, Any, T]) -> T:
    """What `play` comes to, while `carry` carries its messages.

    Raises: what either of them raises.
    """
    carrying, playing = asyncio.create_task(carry), asyncio.create_task(play)
    try:
        await asyncio.wait((carrying, playing), return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            # It carries messages for ever, so it has failed.
            await carrying
        return await playing
    finally:
        for task in (playing, carrying):
            task.cancel()
        await asyncio.gather(playing, carrying, return_exceptions=True)
