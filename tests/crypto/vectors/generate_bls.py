"""Makes bls.json: `python generate_bls.py`, in an environment with py_ecc 8.0.0.

Secret keys, messages and cases are those of ethereum/bls12-381-tests (main.py, v0.1.2), whose
published values these are: for instance sign_case_c82df61aa3ee60fb is b6ed9367..., and
fast_aggregate_verify_valid_3d7576f3c0e3570a is 9712c3ed... (Its case of an identity
among the keys is left out: such a key is refused before.) Proofs of possession, which are not
among them, come from py_ecc too, and one from Chia's bls-signatures (test vector 3). The master
keys are those of EIP-2333, whose derivation from a seed is the draft's KeyGen.
"""

import json
from pathlib import Path

from py_ecc.bls import G2ProofOfPossession as scheme

SECRETS = [
    0x263DBD792F5B1BE47ED85F8938C0F29586AF0D3AC7B977F21C278FE1462040E3,
    0x47B8192D77BF871B62E87859D653922725724A5C031AFEABC60BCEF5FF665138,
    0x328388AFF0D4A5B7DC9205ABD374E7E98F3CD9F3418EDB4EAFDA5FB16473D216,
]
MESSAGES = [bytes([byte]) * 32 for byte in (0x00, 0x56, 0xAB)]
IDENTITY_SIGNATURE = "c0" + "00" * 95
NO_SIGNATURE = "00" * 96

CHIA = {
    "sk": "258787ef728c898e43bc76244d70f468c9c7e1338a107b18b42da0d86b663c26",
    "proof": "84f709159435f0dc73b3e8bf6c78d85282d19231555a8ee3b6e2573aaf66872d9203fefa1ef700e34e7c3"
    "f3fb28210100558c6871c53f1ef6055b9f06b0d1abe22ad584ad3b957f3018a8f58227c6c716b1e157914598"
    "50f2289168fa0cf9115",
}
EIP_2333 = [
    {
        "seed": "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264"
        "c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04",
        "sk": 6083874454709270928345386274498605044986640685124978867557563392430687146096,
    },
    {
        "seed": "3141592653589793238462643383279502884197169399375105820974944592",
        "sk": 29757020647961307431480504535336562678282505419141012933316116377660817309383,
    },
    {
        "seed": "0099ff991111002299dd7744ee3355bbdd8844115566cc55663355668888cc00",
        "sk": 27580842291869792442942448775674722299803720648445448686099262467207037398656,
    },
    {
        "seed": "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
        "sk": 19022158461524446591288038168518313374041767046816487870552872741050760015818,
    },
]


def scalar_hex(secret: int) -> str:
    return secret.to_bytes(32).hex()


def main() -> None:
    keys = [scheme.SkToPk(secret) for secret in SECRETS]
    sign = [
        {
            "sk": scalar_hex(secret),
            "pk": key.hex(),
            "message": message.hex(),
            "signature": scheme.Sign(secret, message).hex(),
        }
        for message in MESSAGES
        for secret, key in zip(SECRETS, keys, strict=True)
    ]
    aggregate = []
    for count, message in enumerate(MESSAGES, start=1):
        chosen = [key.hex() for key in keys[:count]]
        signature = scheme.Aggregate(
            [scheme.Sign(secret, message) for secret in SECRETS[:count]]
        ).hex()
        tampered = signature[:-8] + "ffffffff"
        for name, listed, claimed, valid in (
            ("valid", chosen, signature, True),
            ("extra pubkey", [*chosen, keys[-1].hex()], signature, False),
            ("tampered signature", chosen, tampered, False),
        ):
            aggregate.append(
                {
                    "name": f"{name}, {count} signers",
                    "pks": listed,
                    "message": message.hex(),
                    "signature": claimed,
                    "valid": valid,
                }
            )
    for name, listed, claimed in (
        ("no pubkeys and identity signature", [], IDENTITY_SIGNATURE),
        ("no pubkeys and no signature", [], NO_SIGNATURE),
    ):
        aggregate.append(
            {
                "name": name,
                "pks": listed,
                "message": MESSAGES[0].hex(),
                "signature": claimed,
                "valid": False,
            }
        )
    possession = [
        {"sk": scalar_hex(secret), "pk": key.hex(), "proof": scheme.PopProve(secret).hex()}
        for secret, key in zip(SECRETS, keys, strict=True)
    ]
    chia_key = scheme.SkToPk(int(CHIA["sk"], 16)).hex()
    key_generation = [
        {"seed": case["seed"], "sk": scalar_hex(int(case["sk"]))} for case in EIP_2333
    ]
    content = {
        "source": "made by generate_bls.py, which says where the cases are from",
        "sign": sign,
        "aggregate": aggregate,
        "possession": [*possession, {**CHIA, "pk": chia_key}],
        "key_generation": key_generation,
    }
    path = Path(__file__).with_name("bls.json")
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
