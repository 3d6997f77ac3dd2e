"""Releases swap under a steady load on a real Triton: no request fails, no answer mixes two of them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.compute
import pyarrow.parquet
import pytest
from pydantic import SecretStr

from longtail_bento.processes import ServiceProcess
from longtail_bento.release_set import in_share
from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer
from longtail_client.contract import TEXT_ENCODER
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.manifest import MANIFEST, read_manifest, write_manifest
from longtail_client.release_state import ReleaseState, changing_state, write_state
from longtail_client.triton_transport import TritonTransport
from longtail_export.catalogue_export import export_catalogue
from longtail_export.catalogue_sources import read_tables
from longtail_export.config_writer import configured_models, write_configs
from longtail_export.progress import SilentProgress
from longtail_export.release_writer import create

LONGTAIL = [sys.executable, "-c", "from longtail_client.cli import main; main()"]
ROLLED_BACK_WITHIN_S = 3.0
N_ITEMS = 160
PERCENT = 10.0
CANARY_USERS = [str(user) for user in range(1, 944) if in_share(f"user {user}", "new", PERCENT)]
OLD, NEW, BROKEN = "2", "3", "4"
"""Versions of the encoder: int8, float32, and one whose graph is none. Both that work compute the same in any batch."""

WISHES = [
    *("A western with horses and a long ride home.", "A quiet drama by the sea.", "Horror in an old house."),
    *("A comedy about a wedding.", "Science fiction on a space station.", "A thriller with a train."),
]


@dataclass
class House:
    """A deployment of the test's own."""

    settings: ServiceSettings
    service: ServiceProcess
    users: list[str]
    catalogues: dict[str, tuple[dict[str, int], np.ndarray[Any, Any]]] = field(default_factory=dict)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `longtail` as an operator does."""
        environment = dict(os.environ) | self.settings.as_environment() | variables
        return subprocess.run(
            [*LONGTAIL, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=300.0
        )

    async def done(self, *arguments: str, **variables: str) -> str:
        """Run one that has to succeed, while the load goes on."""
        ended = await asyncio.to_thread(self.run, *arguments, **variables)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def place(self, move: Callable[[ReleaseState], ReleaseState]) -> None:
        """Change the state past the checks that the commands make."""
        with changing_state(self.settings.var) as state:
            write_state(self.settings.var, move(state))


def publish_encoder(models: Path, version: str, graph: Path | None, precision: str) -> None:
    """Publish a version as export would."""
    folder = models / TEXT_ENCODER.name / version
    source = models / TEXT_ENCODER.name / OLD
    shutil.copytree(source, folder, copy_function=os.link, ignore=shutil.ignore_patterns("model.onnx", MANIFEST))
    if graph is None:
        (folder / "model.onnx").write_bytes(b"no graph")
    else:
        os.link(graph, folder / "model.onnx")
    facts = {name: value for name, value in read_manifest(source).items() if name != "files"}
    write_manifest(folder, {**facts, "precision": precision})


def few_films(built: Path, folder: Path, skip: int) -> tuple[Path, Path]:
    """Write some of the demo's films, and what users did with them, as anybody's data."""
    demo = built / "var" / "catalogues" / "demo"
    items = pyarrow.parquet.read_table(demo / "items.parquet", columns=["item_id", "title", "text"])
    items = items.take(list(range(skip, len(items), 9))[:N_ITEMS])
    done = pyarrow.parquet.read_table(demo / "interactions.parquet")
    done = done.filter(pyarrow.compute.is_in(done["item_id"], value_set=items["item_id"]))
    folder.mkdir()
    pyarrow.parquet.write_table(items, folder / "items.parquet")
    pyarrow.parquet.write_table(done, folder / "interactions.parquet")
    return folder / "items.parquet", folder / "interactions.parquet"


def publish_release(house: Path, built: Path, name: str, version: str, triton_url: str, *, skip: int) -> None:
    """Export a catalogue with a version of the encoder, and release both."""
    items, interactions = few_films(built, house / f"films-{name}", skip)
    export_catalogue(
        read_tables(items, interactions),
        folder=house / "var" / "catalogues" / name,
        var=house / "var",
        model_repository=house / "model_repository",
        encoder_version=version,
        triton_url=triton_url,
        timeout_s=120.0,
        progress=SilentProgress(),
    )
    create(
        name,
        catalogue_name=name,
        encoder_version=version,
        generator_version="1",
        model_repository=house / "model_repository",
        var=house / "var",
    )


@pytest.fixture(scope="module")
def house(
    settings: ServiceSettings, built: Path, module_ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Release ``old`` is live; ``new`` has an encoder that was published after Triton started, and another index."""
    folder = tmp_path_factory.mktemp("swap")
    models = folder / "model_repository"
    for version in (f"{TEXT_ENCODER.name}/{OLD}", "generator/1"):
        shutil.copytree(built / "model_repository" / version, models / version, copy_function=os.link)
    for model in configured_models():
        write_configs(models, model)
    (folder / "var").mkdir()
    shutil.copy(built / "var" / "longtail.db", folder / "var")
    update = {"var": folder / "var", "model_repository": models, "triton_admin_key": SecretStr(secrets.token_hex(16))}
    update |= {"generate_timeout_s": 60.0, "encode_timeout_s": 60.0}  # what is asked is that they answer, not how soon
    apart = ServiceSettings.model_validate(
        settings.model_dump() | module_ports | update | {"triton_grpc": f"127.0.0.1:{module_ports['triton_grpc_port']}"}
    )
    with TritonServer(apart) as triton:
        publish_release(folder, built, "old", OLD, triton.url, skip=0)
        publish_encoder(models, NEW, built / "model_repository" / TEXT_ENCODER.name / "1" / "model.onnx", "fp32")
        parameters = {f"longtail.{NEW}.precision": "fp32"}
        asyncio.run(serve(triton, [OLD, NEW], parameters))
        publish_release(folder, built, "new", NEW, triton.url, skip=180)
        asyncio.run(serve(triton, [OLD], {f"longtail.{NEW}.precision": ""}))
        service = ServiceProcess(apart)
        service.start()
        service.wait_for("/readyz")
        found = House(apart, service, crowd(folder))
        for name in ("old", "new"):
            there = folder / "var" / "catalogues" / name
            ids = pyarrow.parquet.read_table(there / "items.parquet", columns=["item_id"])["item_id"].to_pylist()
            found.catalogues[name] = {item_id: row for row, item_id in enumerate(ids)}, np.load(there / "vectors.npy")
        yield found
        service.stop()


def crowd(folder: Path) -> list[str]:
    """Choose forty users who know films of both catalogues, as many of them on canary as there are in a crowd."""
    tables = (pyarrow.parquet.read_table(folder / f"films-{name}" / "interactions.parquet") for name in ("old", "new"))
    known = set.intersection(*(set(table["user_id"].to_pylist()) for table in tables))
    others = sorted(known - set(CANARY_USERS), key=int)
    return [*sorted(known & set(CANARY_USERS), key=int)[:4], *others[:36]]


async def serve(triton: TritonServer, versions: list[str], parameters: dict[str, str]) -> None:
    transport = TritonTransport(triton.url, admin_key=triton.admin_key)
    await transport.serve_versions(TEXT_ENCODER.name, versions, parameters=parameters, timeout_s=60.0)
    await transport.close()


@dataclass
class Load:
    """What users saw: each answer with when it was asked for, and each failure."""

    answers: list[tuple[float, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    vectors: list[tuple[str, str, list[float]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def since(self, asked_s: float) -> list[tuple[float, dict[str, Any], dict[str, Any]]]:
        """Return what was asked for since a moment."""
        return [entry for entry in self.answers if entry[0] >= asked_s]

    async def more(self, n_answers: int) -> list[tuple[float, dict[str, Any], dict[str, Any]]]:
        """Wait for answers to requests that were asked for from now on, and return them."""
        now_s = time.monotonic()
        while len(self.since(now_s)) < n_answers:
            assert not self.failures, self.failures[0]
            await asyncio.sleep(0.02)
        return self.since(now_s)


@asynccontextmanager
async def steady_load(house: House) -> AsyncIterator[Load]:
    """Four callers without a pause: three with descriptions at hand, one of whom also embeds; one has them written."""
    load, over = Load(), asyncio.Event()

    async def call(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        try:
            response = await client.post(path, json=body)
        except httpx.HTTPError as error:
            load.failures.append(f"{path} {body}: {error!r}")
            return None
        if response.status_code != 200:
            load.failures.append(f"{path} {body}: {response.status_code} {response.text[:500]}")
            return None
        document: dict[str, Any] = response.json()
        return document

    async def caller(number: int) -> None:
        async with httpx.AsyncClient(base_url=house.service.url, timeout=60.0) as client:
            turn = number * len(house.users) // 4
            while not over.is_set():
                turn += 1
                body: dict[str, Any] = {
                    "user_id": house.users[turn % len(house.users)],
                    "explain": True,
                    "deadline_ms": 60_000,
                }
                body |= {"descriptions": 3} if number == 0 else {"given_descriptions": [WISHES[turn % len(WISHES)]]}
                asked_s = time.monotonic()
                answer = await call(client, "/recommend", body)
                if answer is not None:
                    load.answers.append((asked_s, body, answer))
                if number == 1:
                    text = WISHES[turn % len(WISHES)]
                    encoded = await call(client, "/encode", {"texts": [text]})
                    if encoded is not None:
                        load.vectors.append((text, encoded["release"], encoded["vectors"][0]))

    callers = [asyncio.create_task(caller(number)) for number in range(4)]
    try:
        yield load
    finally:
        over.set()
        await asyncio.gather(*callers)


async def places(house: House) -> dict[str, dict[str, Any]]:
    async with httpx.AsyncClient(base_url=house.service.url, timeout=60.0) as client:
        answer = (await client.get("/release")).json()
    return {entry["release"]: entry for entry in answer["releases"]}


async def until(house: House, condition: Callable[[dict[str, dict[str, Any]]], Any]) -> dict[str, dict[str, Any]]:
    """Wait until `GET /release` shows something."""
    for _ in range(1800):
        seen = await places(house)
        if condition(seen):
            return seen
        await asyncio.sleep(0.1)
    pytest.fail(f"what was waited for did not happen within 60 s: {json.dumps(seen)[:2000]}")


def releases_of(entries: list[tuple[float, dict[str, Any], dict[str, Any]]]) -> set[str]:
    return {answer["release"] for _, _, answer in entries}


async def test_a_release_is_tried_promoted_and_rolled_back_under_load(house: House) -> None:
    thresholds = {"LONGTAIL_PROMOTE_MAX_LATENCY_RATIO": "10", "LONGTAIL_PROMOTE_MIN_ANSWERS": "25"}
    async with steady_load(house) as load:
        # `create` staged it: whoever names it gets it, and nobody else does.
        await until(house, lambda seen: seen["new"]["status"] == "loaded")
        assert releases_of(await load.more(20)) == {"old"}
        assert (await named(house, "new"))["release"] == "new"

        await house.done("release", "shadow", "new")
        refused = await asyncio.to_thread(house.run, "release", "promote", "new", **thresholds)
        assert refused.returncode == 3
        assert "expected at least 25" in refused.stderr or "nothing is known" in refused.stderr
        await until(house, lambda seen: (seen["new"]["report"] or {"shadow": None})["shadow"])
        await until(house, lambda seen: seen["new"]["report"]["shadow"]["n_compared"] >= 20)
        shown = (await places(house))["new"]["report"]["shadow"]
        assert 0 < shown["overlap_at_k"] < 1, "the catalogues differ, so answers of both cannot be the same"
        assert shown["candidate"]["n_errors"] == 0
        assert shown["candidate"]["tail_share"] == 1.0
        assert 0 < shown["candidate"]["coverage"] <= 1
        assert shown["candidate"]["latency_p95_ms"] > 0
        assert abs(shown["score_shift"]) < 0.2
        assert releases_of(load.answers) == {"old"}

        await house.done("release", "canary", "new", "--percent", str(PERCENT))
        await until(house, lambda seen: seen["new"]["place"] == "canary")
        during = await load.more(2 * len(house.users))
        served_by: dict[str, set[str]] = {}
        for _, body, answer in during:
            served_by.setdefault(body["user_id"], set()).add(answer["release"])
        assert set(CANARY_USERS) & served_by.keys()
        for user, names in served_by.items():
            assert names == ({"new"} if user in CANARY_USERS else {"old"}), f"user {user}"
        told = json.loads(await house.done("release", "report", "new", "--json"))
        assert told["report"]["canary"]["candidate"]["n_answers"] > 0
        assert told["report"]["canary"]["candidate"]["n_errors"] == 0

        await house.done("release", "promote", "new", **thresholds)
        await until(house, lambda seen: seen["new"]["place"] == "live" and seen["new"]["status"] == "serving")
        assert releases_of(await load.more(20)) == {"new"}

        await house.done("release", "rollback")
        written_s = time.monotonic()
        await until(house, lambda seen: seen["old"]["place"] == "live" and seen["old"]["status"] == "serving")
        assert releases_of(await load.more(20)) == {"old"}
        latest_new_s = max(asked_s for asked_s, _, answer in load.answers if answer["release"] == "new")
        assert latest_new_s - written_s < ROLLED_BACK_WITHIN_S
    assert_nothing_failed(house, load)
    await assert_nothing_is_mixed(house, load)


async def named(house: House, release: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=house.service.url, timeout=30.0) as client:
        body = {"user_id": "1", "given_descriptions": [WISHES[0]], "release": release}
        answer: dict[str, Any] = (await client.post("/recommend", json=body)).json()
    return answer


def assert_nothing_failed(house: House, load: Load) -> None:
    """Every request was answered, and every stage that an answer did without wrote what cannot be used."""
    assert not load.failures, load.failures[0]
    log = house.service.log_path.read_text().splitlines()
    assert not [line for line in log if " did without " in line and "wrote nothing that describes" not in line]


async def assert_nothing_is_mixed(house: House, load: Load) -> None:
    """Compute each similarity anew from the vectors and the index of the release that the answer names."""
    found = [
        (answer["release"], item["explanation"]["text"], item["item_id"], item["similarity"])
        for _, _, answer in load.answers
        for item in answer["items"]
        if item["explanation"]["found_by"] == "description"
    ]
    texts = sorted({text for _, text, _, _ in found} | set(WISHES))
    vectors = {name: dict(zip(texts, await embedded(house, name, texts), strict=True)) for name in house.catalogues}

    def off(release: str, other: str) -> list[float]:
        rows, index = house.catalogues[release]
        return [
            abs(float(index[rows[item_id]] @ vectors[other][text]) - similarity)
            for name, text, item_id, similarity in found
            if name == release
        ]

    for release, other in (("old", "new"), ("new", "old")):
        assert len(off(release, release)) > 100
        assert max(off(release, release)) < 2e-4
        assert np.median(off(release, other)) > 4e-4, "an answer that mixes releases would not be seen"
        encoded = [(vector, vectors[release][text]) for text, name, vector in load.vectors if name == release]
        assert encoded
        assert max(float(np.abs(np.asarray(got) - expected).max()) for got, expected in encoded) < 2e-4


async def embedded(house: House, name: str, texts: list[str]) -> np.ndarray[Any, Any]:
    version = {"old": OLD, "new": NEW}[name]
    transport = TritonTransport(house.settings.triton_grpc)
    tokenizer = TextTokenizer(house.settings.model_repository / TEXT_ENCODER.name / version / "tokenizer.json")
    encoder = await Encoder.connect(transport, tokenizer, version=version, timeout_s=60.0)
    vectors = await encoder.encode(texts)
    await transport.close()
    return vectors


async def test_what_is_broken_leaves_the_live_release_serving(house: House, built: Path) -> None:
    models, var = house.settings.model_repository, house.settings.var
    publish_encoder(models, BROKEN, None, "fp32")
    for name, version in (("no-graph", BROKEN), ("cut-index", OLD), ("torn", OLD)):
        shutil.copytree(var / "catalogues" / "old", var / "catalogues" / name)
        release = json.loads((var / "releases" / "old" / "release.json").read_text())
        release["name"], release["catalogue"]["name"], release["release_sha256"] = name, name, None
        release["encoder"] = {"version": version, "files": read_manifest(models / TEXT_ENCODER.name / version)["files"]}
        (var / "releases" / name).mkdir()
        (var / "releases" / name / "release.json").write_text(json.dumps(release))
    with (var / "catalogues" / "cut-index" / "vectors.npy").open("r+b") as index:
        index.truncate(10_000)
    torn = var / "releases" / "torn" / "release.json"
    torn.write_bytes(torn.read_bytes()[:500])
    expected = {"no-graph": "version 4 is", "cut-index": "index: ", "torn": "release.json"}
    async with steady_load(house) as load:
        for name, part in expected.items():
            # Past the commands' checks, as if it had broken after them; `live` is the worst place to be broken in.
            house.place(lambda state, name=name: state.stage(name).promote(name))
            seen = await until(house, lambda seen, name=name: seen.get(name, {}).get("status") == "refused")
            assert part in seen[name]["reason"]
            assert seen["old"]["status"] == "serving"
            assert releases_of(await load.more(8)) == {"old"}
            house.place(lambda state, name=name: state.rollback())
        state_file = var / "releases" / "state.json"
        whole = state_file.read_text()
        state_file.write_text("{")
        assert releases_of(await load.more(8)) == {"old"}
        state_file.write_text(whole)
    assert_nothing_failed(house, load)
