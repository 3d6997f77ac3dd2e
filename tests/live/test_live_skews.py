"""Skews between an index and the encoder, planted under a real Triton: refused by part while the live release answers.

The live release's encoder is the demo's graph in float32. Every other version is that one but for what it skews.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pyarrow.compute
import pyarrow.parquet
import pytest
from pydantic import SecretStr
from tests.live.skewed_deployment import (
    PINNED,
    Deployment,
    coarser,
    hashed_again,
    linked,
    of_first_tokens,
    put,
    replace,
    until,
)

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer
from longtail_client.contract import TEXT_ENCODER
from longtail_client.fingerprint import FINGERPRINT_FILE, MIN_WORST_COSINE, Fingerprint
from longtail_export.catalogue_export import export_catalogue
from longtail_export.catalogue_sources import read_tables
from longtail_export.config_writer import configured_models, write_configs
from longtail_export.progress import SilentProgress
from longtail_export.release_writer import create

FINGERPRINT_EVERY_S = 3.0
N_ITEMS = 100


@pytest.fixture(scope="module")
def deployment(
    settings: ServiceSettings, built: Path, module_ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Release ``good`` is live, on an encoder in float32 and a hundred films."""
    folder = tmp_path_factory.mktemp("skews")
    models, var, graphs = folder / "model_repository", folder / "var", folder / "graphs"
    graphs.mkdir()
    source = built / "model_repository"
    linked(source / "generator" / "1", models / "generator" / "1")
    linked(source / TEXT_ENCODER.name / "1", models / TEXT_ENCODER.name / PINNED)
    hashed_again(models / TEXT_ENCODER.name / PINNED, precision="fp32")
    for model in configured_models():
        write_configs(models, model)
    config = models / TEXT_ENCODER.name / "configs" / f"{settings.profile}.pbtxt"
    config.write_text(re.sub(r"^model_warmup \[\n.*?^\]\n", "", config.read_text(), flags=re.M | re.S))
    var.mkdir()
    shutil.copy(built / "var" / "longtail.db", var)
    update = {"var": var, "model_repository": models, "triton_admin_key": SecretStr(secrets.token_hex(16))}
    update |= {"triton_grpc": f"127.0.0.1:{module_ports['triton_grpc_port']}", "encode_timeout_s": 60.0}
    update |= {"fingerprint_every_s": FINGERPRINT_EVERY_S}
    apart = ServiceSettings.model_validate(settings.model_dump() | module_ports | update)
    with ThreadPoolExecutor() as beside, TritonServer(apart) as triton:
        (folder / "workshop").mkdir()
        (folder / "workshop" / "catalogues").symlink_to(var / "catalogues")
        service = ServiceProcess(apart)
        made = Deployment(folder, apart, triton, service, np.empty(0))
        graph = source / TEXT_ENCODER.name / "1" / "model.onnx"
        prepared = [
            beside.submit(coarser, graph, graphs / "rounded.onnx"),
            beside.submit(of_first_tokens, graph, graphs / "first-token.onnx"),
        ]
        export_few_films(made, built)
        shorten_fingerprint(made.catalogues / "good")
        create(
            "good", catalogue_name="good", encoder_version="1", generator_version="1", model_repository=models, var=var
        )
        service.start()
        for each in prepared:
            each.result()
        os.link(source / TEXT_ENCODER.name / "2" / "model.onnx", graphs / "int8.onnx")
        service.wait_for("/readyz")
        made.vectors = np.asarray(made.encode().json()["vectors"])
        yield made
        service.stop()


def export_few_films(deployment: Deployment, built: Path) -> None:
    demo = built / "var" / "catalogues" / "demo"
    items = pyarrow.parquet.read_table(demo / "items.parquet", columns=["item_id", "title", "text"]).slice(0, N_ITEMS)
    done = pyarrow.parquet.read_table(demo / "interactions.parquet")
    done = done.filter(pyarrow.compute.is_in(done["item_id"], value_set=items["item_id"]))
    paths = deployment.folder / "items.parquet", deployment.folder / "interactions.parquet"
    for table, path in zip((items, done), paths, strict=True):
        pyarrow.parquet.write_table(table, path)
    export_catalogue(
        read_tables(*paths),
        folder=deployment.catalogues / "good",
        var=deployment.settings.var,
        model_repository=deployment.settings.model_repository,
        encoder_version=PINNED,
        triton_url=deployment.triton.url,
        timeout_s=60.0,
        progress=SilentProgress(),
    )


def shorten_fingerprint(folder: Path) -> None:
    """Keep the short probes and two longer ones: the others take most of a comparison's time, and show the same."""
    path = folder / FINGERPRINT_FILE
    whole = Fingerprint.read(path)
    kept = [*range(16), 16, 24]
    path.unlink()
    Fingerprint(
        whole.encoder_version,
        tuple(whole.texts[probe] for probe in kept),
        tuple(whole.token_ids[probe] for probe in kept),
        whole.vectors[kept],
    ).write(path)
    hashed_again(folder)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replace(path, bytes(content))


def cut(path: Path) -> None:
    content = path.read_bytes()
    replace(path, content[: len(content) // 2])


def set_in_lower_case(path: Path) -> None:
    replace(path, as_written(path).encode())


def as_written(path: Path) -> str:
    """A tokenizer that keeps capital letters, which its vocabulary does not know."""
    text = path.read_text()
    assert re.search(r'"lowercase":\s*true', text)
    return re.sub(r'"lowercase":\s*true', '"lowercase":false', text)


DAMAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "flipped-index": ("catalogue/vectors.npy", flip, r"^index: .*vectors\.npy: expected sha256"),
    "cut-index": ("catalogue/vectors.npy", cut, r"^index: .*\(it holds|^index: .*cut short, 100 were written"),
    "flipped-fingerprint": ("catalogue/fingerprint.json", flip, r"^fingerprint: .*expected sha256"),
    "flipped-catalogue-manifest": ("catalogue/manifest.json", flip, r"^catalogue: .*manifest\.json: expected sha256"),
    "flipped-model": ("encoder/model.onnx", flip, r"^encoder: .*model\.onnx: expected sha256"),
    "flipped-tokenizer": ("encoder/tokenizer.json", flip, r"^tokenizer: .*tokenizer\.json: expected sha256"),
    "flipped-model-manifest": ("encoder/manifest.json", flip, r"^encoder: .*manifest\.json: expected sha256"),
    "flipped-release": ("release/release.json", flip, r"/flipped-release/release\.json: "),
    "edited-tokenizer": (
        "encoder/tokenizer.json",
        set_in_lower_case,
        r"^tokenizer: .*tokenizer\.json: expected sha256",
    ),
}


def test_a_file_that_is_not_the_pinned_one_is_named(deployment: Deployment) -> None:
    for number, (name, (file, damage, said)) in enumerate(DAMAGES.items()):
        version = str(100 + number)
        deployment.publish_encoder(version)
        catalogue = deployment.publish_catalogue(name, version=version)
        release = deployment.written(name, version=version, catalogue=name)
        folders = {"catalogue": catalogue, "encoder": deployment.encoders / version, "release": release}
        part, _, path = file.partition("/")
        damage(folders[part] / path)
        with deployment.staged(name) as reason:
            assert re.search(said, reason), reason
    deployment.check_live()


def test_another_versions_graph_under_the_pinned_one_is_named_by_its_hash(deployment: Deployment) -> None:
    deployment.publish_encoder("20")
    deployment.publish_catalogue("replaced", version="20")
    deployment.written("replaced", version="20", catalogue="replaced")
    put(deployment.encoders / "20" / "model.onnx", deployment.folder / "graphs" / "int8.onnx")
    with deployment.staged("replaced") as reason:
        assert re.search(r"^encoder: .*/20/model\.onnx: expected sha256 .* it changed since export", reason), reason
    deployment.check_live()


@pytest.mark.parametrize(
    ("name", "version", "meaning"),
    [
        ("int8", "21", "another precision or other weights"),
        ("rounded", "22", "another precision or other weights"),
        ("first-token", "23", "another model, another pooling"),
    ],
    ids=["another version", "another precision", "another pooling"],
)
def test_a_graph_whose_hashes_agree_is_refused_by_how_it_behaves(
    deployment: Deployment, name: str, version: str, meaning: str
) -> None:
    deployment.publish_encoder(version, graph=deployment.folder / "graphs" / f"{name}.onnx")
    deployment.publish_catalogue(name, version=version)
    deployment.written(name, version=version, catalogue=name)
    with deployment.staged(name) as reason:
        assert reason.startswith(f"encoder: expected a worst cosine of at least {MIN_WORST_COSINE} to the vectors")
        assert meaning in reason
        assert reason.endswith("are the pinned ones")
        assert deployment.worst_cosine(name) < MIN_WORST_COSINE
        deployment.check_live()


def test_a_tokenizer_whose_hashes_agree_is_refused_by_how_it_cuts(deployment: Deployment) -> None:
    other = as_written(deployment.encoders / PINNED / "tokenizer.json")
    deployment.publish_encoder("24", tokenizer=other)
    deployment.publish_catalogue("cut-otherwise", version="24")
    deployment.written("cut-otherwise", version="24", catalogue="cut-otherwise")
    with deployment.staged("cut-otherwise") as reason:
        assert re.search(r"^tokenizer: '.*': expected the \d+ token ids that the index was built with", reason), reason
        deployment.check_live()


@pytest.mark.parametrize("how", ["fewer vectors", "half a file"])
def test_a_short_index_whose_hashes_agree_is_refused(deployment: Deployment, how: str) -> None:
    name = how.replace(" ", "-")
    index = deployment.publish_catalogue(name) / "vectors.npy"
    if how == "fewer vectors":
        vectors = np.load(index)
        index.unlink()
        np.save(index, vectors[:-1])
    else:
        cut(index)
    hashed_again(index.parent)
    deployment.written(name, catalogue=name)
    with deployment.staged(name) as reason:
        assert re.search(rf"^index: .*{name}/vectors\.npy: expected ", reason), reason
        deployment.check_live()


def test_a_graph_that_changes_under_the_live_release_is_noticed_by_the_timer_and_mended(deployment: Deployment) -> None:
    graph, pinned = deployment.encoders / PINNED / "model.onnx", deployment.folder / "graphs" / "pinned.onnx"
    os.link(graph, pinned)
    put(graph, deployment.folder / "graphs" / "int8.onnx")
    asyncio.run(deployment.reload())
    put(graph, pinned)  # so that the files are the pinned ones, and Triton's vectors are not
    until(lambda: not deployment.is_ready())
    mismatch = deployment.release_document("good")["fingerprint"]["mismatch"]
    assert mismatch.startswith("encoder: expected a worst cosine of at least")
    assert mismatch.endswith("are the pinned ones")
    refused = deployment.encode()
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert "release good gives out no vectors: encoder: expected a worst cosine" in refused.json()["detail"]
    assert deployment.worst_cosine("good") < MIN_WORST_COSINE
    without = httpx.post(f"{deployment.service.url}/recommend", json={"user_id": "196"}, timeout=60.0)
    assert (without.status_code, len(without.json()["items"])) == (200, 10)
    assert without.json()["degraded"], "descriptions were embedded by an encoder that is not the index's"

    asyncio.run(deployment.reload())
    until(deployment.is_ready)
    deployment.check_live()
    assert deployment.worst_cosine("good") > MIN_WORST_COSINE


def test_a_triton_that_comes_back_with_another_graph_is_refused_and_the_file_named(deployment: Deployment) -> None:
    graph, pinned = deployment.encoders / PINNED / "model.onnx", deployment.folder / "graphs" / "before.onnx"
    os.link(graph, pinned)
    put(graph, deployment.folder / "graphs" / "int8.onnx")
    deployment.triton.kill()
    deployment.triton.start()
    until(lambda: (deployment.release_document("good")["fingerprint"] or {}).get("mismatch"))
    mismatch = deployment.release_document("good")["fingerprint"]["mismatch"]
    assert re.search(r"^encoder: .*/1/model\.onnx: expected sha256 .*\(worst cosine of the probes 0\.9\d+\)$", mismatch)
    assert deployment.encode().status_code == 503
    until(lambda: not deployment.is_ready())

    put(graph, pinned)
    asyncio.run(deployment.reload())
    until(deployment.is_ready)
    deployment.check_live()
