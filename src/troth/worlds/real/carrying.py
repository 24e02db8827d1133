"""A node plays while its messages are carried, by loops that end when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def until_cancelled(
    *loops: Coroutine[Any, Any, None], stop: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Run loops that never return, until this is cancelled or one of them raises.

    They are not ended by cancelling their tasks: httpx closes connections in a shield that holds
    against scopes only, and would leave some of them open.

    Args:
      stop: is awaited before the loops are ended.

    Raises: what one of them raises.
    """
    scopes = [anyio.CancelScope() for _ in loops]

    async def within(scope: anyio.CancelScope, loop: Coroutine[Any, Any, None]) -> None:
        with scope:
            await loop

    tasks = [asyncio.create_task(within(*pair)) for pair in zip(scopes, loops, strict=True)]
    try:
        failed, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in failed:
            await task
    finally:
        if stop is not None:
            await stop()
        for scope in scopes:
            scope.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
