"""`troth identity` makes the keys of a node, and shows them."""

from __future__ import annotations

from pathlib import Path

import click

from troth.cli.verb import FILE, Verbs


@click.group(cls=Verbs)
def identity() -> None:
    """Make or show the key pair of a node."""


@identity.command()
@click.argument("file", type=FILE)
def new(file: Path) -> None:
    """Make an identity in FILE, and print its public id.

    The others need the public id for their peers files. FILE holds the secret key. Only its owner
    may read it, and it never leaves the machine.
    """
    from troth.crypto.identity import Identity

    made = Identity.create()
    made.save(file)
    click.echo(made.public)


@identity.command()
@click.argument("file", type=FILE)
def show(file: Path) -> None:
    """Print an identity's public id."""
    from troth.crypto.identity import Identity

    click.echo(Identity.load(file).public)


@identity.command()
@click.argument("file", type=FILE)
def tor(file: Path) -> None:
    """Make a key for Tor in FILE, and print its public half.

    For brokers that let in nobody else: troth broker --tor --tor-client KEY. FILE holds the secret
    half; give it to troth curate or troth join with --tor-key.
    """
    from troth.worlds.real.tor.authorisation import ClientKey

    made = ClientKey.create()
    made.save(file)
    click.echo(made.public)
