"""HTTP through Tor's SOCKS port, each identity on circuits of its own."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Iterable

import anyio
import httpcore
import httpx

from troth.worlds.real.tor.socks import Socks
from troth.worlds.real.tor.socks5 import Command, SocksError, ask


class TorTransport(httpx.AsyncHTTPTransport):
    """The transport of one identity, to be kept as long as the identity lasts.

    Tor gives streams with different SOCKS user names and passwords different circuits
    (`IsolateSOCKSAuth`, its default). Each transport has random ones of its own, so what goes
    through one shares no circuit with what goes through another. After a failure it takes new ones.

    Host names go to tor as they are and are never looked up on this machine; nothing of the
    environment is looked at; httpx's connect timeout covers the way through Tor as well.
    """

    def __init__(self, socks: Socks, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        # httpx has no argument for how connections are made. The pool above is not open yet.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls, network_backend=_ThroughTor(socks)
        )


class _ThroughTor(httpcore.AsyncNetworkBackend):
    def __init__(self, socks: Socks) -> None:
        self._socks = socks
        self._credentials = secrets.token_hex(16)
        self._local = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        assert local_address is None, "tor is on this machine or named by its user"
        stream = await self._local.connect_tcp(
            self._socks.host, self._socks.port, timeout=timeout, socket_options=socket_options
        )
        try:
            with anyio.fail_after(timeout):
                await ask(stream, self._credentials, Command.CONNECT, host, port)
        except BaseException as error:
            # Next time on other circuits. Tor waits two minutes for a service that was introduced
            # to it and died before it came, and everybody who asks in between waits with it.
            self._credentials = secrets.token_hex(16)
            with anyio.CancelScope(shield=True):
                await stream.aclose()
            match error:
                case TimeoutError():
                    raise httpcore.ConnectTimeout(f"no way through Tor to {host}") from None
                case SocksError():
                    raise httpcore.ProxyError(f"no way through Tor to {host}: {error}") from None
            raise
        return stream

    async def sleep(self, seconds: float) -> None:
        await self._local.sleep(seconds)
