"""The code of a protocol that does not come with Troth, as a charter names it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from troth.charter.charter import Charter, Extension
from troth.charter.document import Document
from troth.charter.shorthand import add_short_forms
from troth.errors import CharterError, VerificationError
from troth.protocols.lookup import foreign_protocol, protocol_of
from troth.protocols.protocol import Protocol


def foreign_of(document: Document) -> Protocol[Any] | None:
    """The protocol from another distribution that a document names, if it names one; its short
    forms are known from then on.

    Raises:
      CharterError: as `foreign_protocol`.
    """
    protocol = document.get("protocol")
    name = protocol.get("name") if isinstance(protocol, dict) else protocol
    found = foreign_protocol(name) if isinstance(name, str) else None
    if found is None:
        return None
    add_short_forms(found.protocol)
    return found.protocol


def with_extension(charter: Charter) -> Charter:
    """The charter, saying which code its protocol is if that does not come with Troth.

    Raises:
      CharterError: it names code although its protocol comes with Troth.
      VerificationError: it names other code than what is installed here.
    """
    found = foreign_protocol(protocol_of(charter.protocol).name)
    if found is None:
        if charter.extension is not None:
            raise CharterError(
                "has no effect: the protocol comes with troth", key="extension", hint="remove it"
            )
        return charter
    installed = Extension(
        distribution=found.distribution, version=found.version, digest=found.digest
    )
    if charter.extension not in (None, installed):
        raise VerificationError(
            f"the charter names the code {_shown(charter.extension)} for protocol "
            f'"{found.protocol.name}", and what is installed here is {_shown(installed)}',
            hint="install the version that the charter names, or agree on a charter for this one",
        )
    return replace(charter, extension=installed)


def _shown(extension: Extension | None) -> str:
    assert extension is not None
    return f"{extension.distribution} {extension.version} ({extension.digest[:19]}...)"
