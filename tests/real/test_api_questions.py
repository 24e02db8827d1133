"""Every question of table 2 over HTTP, in both forms, and the status of every answer."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from brokers import (
    CHARTER,
    CODEC,
    CURATOR_KEY,
    JSON,
    MODEL_ID,
    MSGPACK,
    OTHER_ID,
    RunningBroker,
    ask,
    curate,
    join,
    make_host,
    make_plan,
    message_in,
    post,
    provider_key,
    solve,
    update,
    with_broker,
)
from real_nodes import silent

from troth.crypto.identity import Identity
from troth.crypto.puzzles import Puzzle
from troth.errors import PeerError
from troth.protocols.tormentor import joining, roles, steps
from troth.protocols.tormentor.messages import (
    Curate,
    Curated,
    Delivered,
    Delivery,
    Fetch,
    Finished,
    GradientUpdate,
    Join,
    Leave,
    Left,
    Next,
    Progress,
    Refused,
    Status,
)
from troth.protocols.tormentor.operation.face import FACE
from troth.protocols.tormentor.parameters import CallableVerifier
from troth.protocols.tormentor.protocol import BROKER
from troth.roles.messages import Question
from troth.worlds.real.api.forms import with_names
from troth.worlds.real.api.paths import path_of
from troth.worlds.real.api.server import BrokerServer, Deployed
from troth.worlds.real.limits import Limits, body_bytes

MODEL = f"/v1/models/{MODEL_ID}"
ADDRESSED = joining.addressed_text(make_plan())


def test_a_training_from_the_first_question_to_the_last(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            assert isinstance(await ask(client, curate()), Curated)
            first, second = await join(client, "ann"), await join(client, "bob")
            assert isinstance(await ask(client, update(first)), Next)
            left = await ask(client, Leave(MODEL_ID, first.token))
            assert left == Left(first.token)
            progress = await ask(client, Status(MODEL_ID))
            assert progress == Progress(1, 1, 1)
            fetch = Fetch(MODEL_ID, CURATOR_KEY.sign(joining.FETCH, ADDRESSED))
            fetched = asyncio.create_task(ask(client, fetch))
            async with broker.client() as other:
                # The second round is the last one.
                over = await ask(other, update(second), status=410)
                assert isinstance(over, Finished)
            delivered = await fetched
            assert isinstance(delivered, Delivered)
            np.testing.assert_allclose(delivered.params_D, np.full(4, 0.2), rtol=1e-6)
            taken = Delivery(MODEL_ID, CURATOR_KEY.sign(joining.DELIVERY, ADDRESSED))
            assert isinstance(await ask(client, taken), Progress)
            late = await post(client, Status(MODEL_ID))
            assert (late.status_code, late.json()) == (410, {"error": "the training is over"})

    with_broker(tmp_path, test, plan=make_plan(rounds=2))


def test_the_same_in_json(tmp_path: Path) -> None:
    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:

            async def say(action: str, status: int = 200, **fields: object) -> dict[str, object]:
                fields["model_id"] = MODEL_ID
                answer = await client.post(f"{MODEL}/{action}", json=fields)
                assert answer.status_code == status, answer.text
                assert answer.headers["content-type"] == JSON
                return answer.json()

            asked = curate()
            curated = await say(
                "curate", curator=text(asked.curator), signature=text(asked.signature)
            )
            assert curated == {"type": "Curated", "to": MODEL_ID, "address": "https://here"}
            key = provider_key()
            puzzle = (await say("join", provider=text(key.public)))["puzzle"]
            solved = solve(_puzzle(puzzle), key)
            joined = await say(
                "solve",
                type="Solve",
                puzzle=puzzle,
                solution=text(solved.solution),
                signature=text(solved.signature),
            )
            assert joined["type"] == "Joined"
            assert joined["params_D"] == text(bytes(16))
            fields = {
                "token": joined["token"],
                "nonce": joined["puzzle"]["nonce"],
                "solution": text(b""),
                "version": 0,
            }
            values_D = np.ones(4, "<f4")
            answer = await say("update", **fields, update_D=text(values_D.tobytes()))
            assert answer["type"] == "Next"
            model_D = np.frombuffer(base64.b64decode(answer["params_D"]), "<f4")
            np.testing.assert_array_equal(model_D, values_D)
            # NaN has no number in JSON, and travels as base64: the role turns it away.
            fields |= {"nonce": answer["puzzle"]["nonce"], "version": 1}
            values_D[2] = np.nan
            answer = await say("update", 409, **fields, update_D=text(values_D.tobytes()))
            assert answer["type"] == "Refused"
            assert "not finite" in answer["reason"]
            assert await say("status") == {
                "type": "Progress",
                "round": 1,
                "version": 1,
                "providers": 1,
            }
            assert await say("leave", token=joined["token"]) == {
                "type": "Left",
                "to": joined["token"],
            }

    with_broker(tmp_path, test)


def _puzzle(fields: object) -> Puzzle:
    named = msgspec.convert(fields, with_names(Puzzle))
    return msgspec.convert(named, Puzzle, from_attributes=True)


def test_the_model_is_told_of_without_a_body(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            await ask(client, curate())
            status = await client.get(MODEL)
            assert status.json() == {"type": "Progress", "round": 0, "version": 0, "providers": 0}
            status = await client.get(MODEL, headers={"accept": MSGPACK})
            assert message_in(status) == Progress(0, 0, 0)
            charter = await client.get(f"{MODEL}/charter")
            assert (charter.headers["content-type"], charter.content) == (JSON, CHARTER)
            page = await client.get("/")
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "<script" not in page.text
            assert "http://" not in page.text

    with_broker(tmp_path, test)


def test_the_answer_has_the_form_that_is_asked_for(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            await ask(client, curate())
            path, body = path_of(Status(MODEL_ID)), CODEC.encode(Status(MODEL_ID))
            for accept, form in (
                (None, MSGPACK),
                ("*/*", MSGPACK),
                (JSON, JSON),
                ("text/html, application/json;q=0.9, */*;q=0.8", JSON),
                ("application/json;q=0, */*", MSGPACK),
            ):
                headers = {"content-type": MSGPACK} | ({"accept": accept} if accept else {})
                if accept is None:
                    del client.headers["accept"]
                answer = await client.post(path, content=body, headers=headers)
                assert (answer.status_code, answer.headers["content-type"]) == (200, form), accept

    with_broker(tmp_path, test)


def test_answers_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            answer = await post(client, curate())
            error = await client.get(f"/v1/models/{OTHER_ID}")
        for said in (answer, error):
            assert sorted(said.headers) == ["content-length", "content-type"]

    with_broker(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "reason"),
    [
        ("GET", "/v1/elsewhere", {}, b"", 404, "not found"),
        ("GET", f"/v1/models/{OTHER_ID}", {}, b"", 404, "no such model here"),
        ("GET", f"/v1/models/{OTHER_ID}/charter", {}, b"", 404, "no such model here"),
        ("POST", f"/v1/models/{OTHER_ID}/join", {}, b"", 404, "no such model here"),
        ("POST", f"/v1/models/{OTHER_ID}/curate", {}, None, 404, "no such model here"),
        ("POST", "/v1/models/x/join", {}, b"", 404, "no such model here"),
        ("POST", f"{MODEL}/destroy", {}, b"", 404, "not found"),
        ("POST", f"{MODEL}/join/", {}, b"", 404, "not found"),
        ("GET", f"{MODEL}/join", {}, b"", 405, "method not allowed"),
        ("DELETE", MODEL, {}, b"", 405, "method not allowed"),
        ("GET", MODEL, {"accept": "text/html"}, b"", 406, "an answer is"),
        ("POST", f"{MODEL}/join", {"accept": "image/png"}, b"", 406, "an answer is"),
        ("POST", f"{MODEL}/join", {"content-type": "text/plain"}, b"", 415, "a question is"),
        ("POST", f"{MODEL}/join", {}, bytes(5000), 413, "more than 4096 bytes"),
        ("POST", f"{MODEL}/join", {}, b"", 400, "sent nothing"),
        ("POST", f"{MODEL}/join", {}, b"\x07", 400, "version 7 instead of"),
        ("POST", f"{MODEL}/join", {}, b"\x01\x93", 400, "malformed"),
        (
            "POST",
            f"{MODEL}/join",
            {},
            CODEC.encode(Status(MODEL_ID)),
            400,
            "Status instead of Join",
        ),
        ("POST", f"{MODEL}/status", {}, CODEC.encode(Status(OTHER_ID)), 400, "another model"),
        ("POST", f"{MODEL}/status", {}, CODEC.encode(Status(MODEL_ID))[:-9], 400, "malformed"),
        ("POST", f"{MODEL}/status", {"content-type": JSON}, b"{}", 400, "model_id"),
        ("POST", f"{MODEL}/status", {"content-type": JSON}, b'{"model_id": 7}', 400, "str"),
        ("POST", f"{MODEL}/status", {"content-type": JSON}, b"[" * 4000, 400, "malformed"),
        ("POST", f"{MODEL}/status", {"content-type": JSON}, b'{"model_id": "\xff"}', 400, "utf-8"),
    ],
)
def test_what_is_no_question_is_refused_with_a_reason(
    tmp_path: Path,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
    status: int,
    reason: str,
) -> None:
    if body is None:
        body = CODEC.encode(msgspec.structs.replace(curate(), model_id=OTHER_ID))

    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            await ask(client, curate())
            answer = await client.request(
                method, path, content=body, headers={"content-type": MSGPACK} | headers
            )
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == JSON
            # Versions of msgspec write "utf-8" and "UTF-8".
            assert reason.lower() in answer.json()["error"].lower()
        async with broker.client() as client:
            assert isinstance(await ask(client, Status(MODEL_ID)), Progress)

    with_broker(tmp_path, test, limits=Limits(body_bytes=4096))


def test_what_the_role_refuses_is_a_message(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            stranger = await ask(client, curate(provider_key("eve")), status=403)
            assert (stranger.final, stranger.puzzle) == (True, None)
            joined = await join(client)
            forged = msgspec.structs.replace(update(joined), token=bytes(32))
            refused = await ask(client, forged, status=422)
            assert "does not exist" in refused.reason
            assert not refused.final
            bad = msgspec.structs.replace(update(joined), update_D=np.ones(7, np.float32))
            rejected = await ask(client, bad, status=409)
            assert "7 values instead of 4" in rejected.reason
            assert rejected.puzzle is not None

    with_broker(tmp_path, test, plan=make_plan(curators=[CURATOR_KEY.public.hex()]), curated=True)


def test_a_question_asked_again_gets_the_same_verdict(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client, broker.client() as other:
            joined = await join(client)
            question = update(joined)
            first = await ask(client, question)
            for asker in (client, other, client):
                assert _same(await ask(asker, question), first)
            assert await ask(client, Status(MODEL_ID)) == Progress(1, 1, 1)

    with_broker(tmp_path, test, curated=True)


def _same(one: Next, other: Next) -> bool:
    return CODEC.encode(one) == CODEC.encode(other)


def test_a_held_question_is_to_be_asked_again(tmp_path: Path) -> None:
    """Bulk synchronous: the answer waits for the other provider."""

    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client, broker.client() as other:
            ann = asyncio.create_task(join(client, "ann"))
            (ann_joined, bob_joined) = await asyncio.gather(ann, join(other, "bob"))
            held = await post(client, update(ann_joined))
            assert (held.status_code, held.headers["retry-after"]) == (202, "0")
            assert "ask again" in held.json()["held"]
            again = asyncio.create_task(ask(client, update(ann_joined)))
            assert isinstance(await ask(other, update(bob_joined)), Next)
            assert isinstance(await again, Next)
            assert await ask(client, Status(MODEL_ID)) == Progress(1, 1, 2)

    with_broker(
        tmp_path,
        test,
        plan=make_plan(synchrony="bulk_synchronous", min_providers=2),
        limits=Limits(longest_hold_s=0.5),
        curated=True,
    )


LARGE = GradientUpdate(MODEL_ID, bytes(32), bytes(32), b"", 0, np.zeros(50_000, np.float32))
"""So large that the HTTP implementation stops reading while its end is there (`HIGH_WATER_LIMIT` of
uvicorn is a third of it)."""


@pytest.mark.parametrize("question", [Status(MODEL_ID), LARGE])
def test_who_has_gone_takes_the_question_back(tmp_path: Path, question: Question) -> None:
    async def test(broker: RunningBroker) -> None:
        assert broker.host is not None
        async with broker.client() as client:
            asking = asyncio.create_task(post(client, question))
            async with asyncio.timeout(10.0):
                while not broker.host._guests:
                    await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(10.0):
            while broker.host._guests:
                await asyncio.sleep(0.01)
        assert not broker.host._mailbox.waiting

    limits = Limits(body_bytes=body_bytes(len(LARGE.update_D)))
    with_broker(tmp_path, test, role=silent, limits=limits)


# ---------------------------------------------------------------- before there is a model


def test_the_first_charter_makes_the_broker(tmp_path: Path) -> None:
    deploys = []

    async def run() -> None:
        host = make_host(tmp_path, partial(roles.broker, plan=make_plan()), Limits())
        running: list[asyncio.Task[object]] = []

        async def deploy(asked: Curate) -> Deployed:
            deploys.append(asked)
            if asked.curator != CURATOR_KEY.public:
                raise PeerError("is no curator of ours", culprits=(BROKER,))
            await asyncio.sleep(0)
            running.append(asyncio.create_task(host.run()))
            return Deployed(host, MODEL_ID, CHARTER)

        identity = Identity.create()
        server = BrokerServer(FACE, identity, Limits(), deploy=deploy)
        broker = RunningBroker(server, identity, await server.open("127.0.0.1", 0), None)
        try:
            async with broker.client() as client, broker.client() as other:
                for question in (Status(MODEL_ID), Join(MODEL_ID, bytes(32))):
                    assert (await post(client, question)).status_code == 404
                assert (await client.get(f"{MODEL}/charter")).status_code == 404
                refused = await ask(client, curate(provider_key("eve")), status=403)
                assert (refused.reason, refused.final) == ("is no curator of ours", True)
                both = await asyncio.gather(ask(client, curate()), ask(other, curate()))
                assert both == [Curated(MODEL_ID, "https://here")] * 2
                assert len(deploys) == 2
                assert (await client.get(f"{MODEL}/charter")).content == CHARTER
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await server.close()
            host._journal.close()

    asyncio.run(run())


def test_the_final_model_goes_to_nobody_who_proves_nothing(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            joined = await join(client)
            question = update(joined)
            over = await ask(client, question, status=410)
            assert isinstance(over, Finished)
            assert len(over.params_D) == len(plan.initial_D)
            again = await ask(client, question, status=410)
            assert len(again.params_D) == len(over.params_D)
            forged = msgspec.structs.replace(question, token=b"\x07" * 32)
            for asked in (Status(MODEL_ID), Join(MODEL_ID, bytes(32)), forged):
                told = await ask(client, asked, status=410)
                assert isinstance(told, Finished)
                assert len(told.params_D) == 0

    plan = make_plan(rounds=1, model_to_providers=True)
    with_broker(tmp_path, test, curated=True, plan=plan)


def test_a_rejection_does_not_tell_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "judge_numbers.py").write_text(
        "def no(params_D, update_D, error):\n    return 'the error rises by 0.0123'\n"
    )

    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            told = await ask(client, update(await join(client)), status=409)
            assert isinstance(told, Refused)
            assert told.reason == "judge_numbers:no rejects it"

    verifier = CallableVerifier(callable="judge_numbers:no")
    plan = dataclasses.replace(make_plan(verifiers=[verifier]), base=tmp_path)
    with_broker(tmp_path, test, curated=True, plan=plan)


def test_so_many_updates_of_a_connection_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MAX_LOOKS", 2, raising=False)
    (tmp_path / "judge_kindly.py").write_text(
        "def yes(params_D, update_D, error):\n    return None\n"
    )

    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            joined = await join(client)
            for _ in range(2):
                answer = await ask(client, update(joined))
                joined = msgspec.structs.replace(
                    joined, puzzle=answer.puzzle, version=answer.version
                )
            over = await ask(client, update(joined), status=422)
            assert isinstance(over, Refused)
            assert over.puzzle is None
            assert await ask(client, Status(MODEL_ID)) == Progress(2, 2, 0)
            again = await join(client)
            assert again.token != joined.token
            assert isinstance(await ask(client, update(again)), Next)

    verifier = CallableVerifier(callable="judge_kindly:yes")
    plan = dataclasses.replace(make_plan(verifiers=[verifier]), base=tmp_path)
    with_broker(tmp_path, test, curated=True, plan=plan)
