"""Attacks on one protocol: listed, refused with another protocol, and part of the schema."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from troth.attacks.registry import OWN, own_attacks
from troth.attacks.spec import GENERAL, Attack
from troth.charter.dry_run import dry_run
from troth.charter.loading import LoadedScenario
from troth.charter.schema import json_schema
from troth.errors import CharterError, ExitCode

Load = Callable[..., LoadedScenario]

ATTACK = '[[attacks]]\nkind = "{}"\nfraction = 0.3\n'


def kind_of(table: type[Attack]) -> str:
    return str(table.__struct_config__.tag)


@pytest.mark.parametrize("kind", ["wrong_shares", "two_sets", "zero_noise"])
def test_a_named_attack_is_listed_with_its_attackers(load: Load, base: str, kind: str) -> None:
    (found,) = dry_run(load(base + ATTACK.format(kind), "protocol=biscotti")).attacks
    (flip,) = dry_run(load(base + ATTACK.format("label_flip"), "protocol=biscotti")).attacks
    assert found.kind == kind
    assert len(found.parties) == 3
    assert found.parties == flip.parties


@pytest.mark.parametrize("protocol", ["federated", "tormentor", "standalone"])
def test_an_attack_on_the_ledger_has_no_effect_elsewhere(
    load: Load, base: str, protocol: str
) -> None:
    with pytest.raises(CharterError) as caught:
        load(base + ATTACK.format("two_sets"), f"protocol={protocol}")
    assert caught.value.exit_code == ExitCode.CHARTER
    assert caught.value.message.endswith(
        f'attacks[0].kind = "two_sets" has no effect: with protocol = "{protocol}" no peer keeps a '
        "ledger with others"
    )
    assert caught.value.hint == 'set kind = "sign_flip", or protocol = "biscotti"'


def test_an_attack_on_noise_needs_noise(load: Load, base: str) -> None:
    bare = ("protocol=biscotti", "privacy={mask='none'}")
    assert load(base + ATTACK.format("wrong_sum"), *bare)
    with pytest.raises(CharterError, match="no peer gives noise"):
        load(base + ATTACK.format("same_slot"), *bare)


def test_every_attack_has_one_name_and_one_protocol() -> None:
    tables = [*GENERAL, *(table for own in OWN for table in own.tables)]
    assert len({kind_of(table) for table in tables}) == len(tables)
    for table in GENERAL:
        attack = msgspec.convert({"kind": kind_of(table), **_needed(table)}, table)
        assert own_attacks(attack) is None


def _needed(table: type[Attack]) -> dict[str, str]:
    fields = msgspec.structs.fields(table)
    return {field.name: "task:attack" for field in fields if field.required}


def test_the_schema_has_every_attack_with_its_meaning() -> None:
    tables = json_schema()["$defs"]
    for own in OWN:
        for table in own.tables:
            found = tables[table.__name__]
            assert found["properties"]["kind"]["enum"] == [kind_of(table)]
            assert len(found["description"].split()) > 10
