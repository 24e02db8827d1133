"""The OpenAPI document is valid, complete, and what the server does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import msgspec
import pytest
from brokers import JSON, MODEL_ID, RunningBroker, with_broker
from openapi_spec_validator import validate

from troth.crypto.puzzles import Puzzle
from troth.protocols.tormentor.messages import MESSAGES, QUESTIONS
from troth.protocols.tormentor.operation.face import FACE
from troth.roles.messages import Answer
from troth.worlds.real.api.openapi import openapi, openapi_json
from troth.worlds.real.api.page import page_html
from troth.worlds.real.limits import Limits

EXAMPLES = 8
"""Per operation; each takes a request."""


def test_the_document_is_valid() -> None:
    validate(json.loads(openapi_json(FACE)))


def test_every_question_has_its_path() -> None:
    asked = {path for path, item in openapi(FACE)["paths"].items() if "post" in item}
    assert asked == {f"/v1/models/{{model_id}}/{action}" for action in FACE.actions}
    assert set(FACE.actions.values()) == set(QUESTIONS)
    assert FACE.actions.keys() >= {"curate", "join", "solve", "update", "leave", "status"}


def test_every_field_of_every_message_is_described() -> None:
    schemas = openapi(FACE)["components"]["schemas"]
    for kind in (*MESSAGES, Puzzle):
        assert kind is not Answer
        named = set(schemas[kind.__name__]["properties"]) - {"type"}
        assert named == set(kind.__struct_fields__), kind
        required = set(schemas[kind.__name__]["required"])
        assert required == {
            field.name for field in msgspec.structs.fields(kind) if field.required
        }, kind


def test_the_page_says_the_same() -> None:
    page = page_html(FACE).decode()
    for path, item in openapi(FACE)["paths"].items():
        for method in item.keys() - {"parameters"}:
            assert f"{method.upper()} {path}" in page
    for name in openapi(FACE)["components"]["schemas"]:
        assert f'<h3 id="{name}">' in page


def test_the_document_is_served(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            served = await client.get("/openapi.json")
            assert served.headers["content-type"] == JSON
            assert served.json() == json.loads(openapi_json(FACE))

    with_broker(tmp_path, test)


@pytest.mark.slow
def test_a_live_broker_does_what_the_document_says(tmp_path: Path) -> None:
    """Schemathesis asks what fits the document, and what does not: no answer is a server error, all
    have a documented status, form and content, and what does not fit is turned away."""
    document = json.loads(openapi_json(FACE))
    # Of this broker's model; any other is a 404, and shows little.
    document["components"]["parameters"]["model_id"]["schema"] = {"enum": [MODEL_ID]}
    for kind in QUESTIONS:
        document["components"]["schemas"][kind.__name__]["properties"]["model_id"] = {
            "enum": [MODEL_ID]
        }
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    # What is well-formed and still forged is turned away with 403 and 422; 406 is for `Accept`.
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        "[checks.positive_data_acceptance]\n"
        'expected-statuses = ["2xx", "403", "406", "409", "410", "422"]\n'
    )

    async def test(broker: RunningBroker) -> None:
        url = f"https://127.0.0.1:{broker.port}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", config),
            *("run", file, "--url", url, "--tls-verify=false", "--no-color", "--workers=1"),
            *("--seed=1", f"--max-examples={EXAMPLES}", "--generation-database=none"),
            *("--warnings=off",),
            cwd=tmp_path,
            env=os.environ
            | {
                "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
                "PYTHONPATH": str(Path(__file__).parent),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        assert f"{len(QUESTIONS) + 4} selected" in output.decode()
        # And it is still there.
        async with broker.client() as client:
            assert (await client.get(f"/v1/models/{MODEL_ID}")).status_code == 200

    unlimited = Limits(
        free_per_s=1e6,
        free_at_once=10**6,
        requests_per_s=1e6,
        requests_at_once=10**6,
        longest_hold_s=0.5,
    )
    with_broker(tmp_path, test, curated=True, limits=unlimited)
