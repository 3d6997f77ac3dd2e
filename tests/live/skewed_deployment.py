"""A Triton and a service to plant skews in: releases, graphs and folders that are whole but for what is skewed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
from onnx import helper, numpy_helper

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer
from longtail_client.contract import TEXT_ENCODER
from longtail_client.manifest import MANIFEST, read_manifest, write_manifest
from longtail_client.release_state import ReleaseState, changing_state, write_state
from longtail_client.triton_transport import TritonTransport
from longtail_export.release_writer import create

PINNED = "1"
NOTICED_WITHIN_S = 60.0
TEXTS = ["A western with horses.", "Horror in an old house."]


@dataclass
class Deployment:
    """A Triton and a service of this file's own, and what the live release answers while it is sound.

    Attributes:
        folder: Holds ``model_repository`` and ``var``, and ``graphs`` that Triton may serve in a version's place.
        vectors: What ``/encode`` gives for `TEXTS`.
    """

    folder: Path
    settings: ServiceSettings
    triton: TritonServer
    service: ServiceProcess
    vectors: np.ndarray[Any, Any]

    @property
    def encoders(self) -> Path:
        """The encoder's versions."""
        return self.folder / "model_repository" / TEXT_ENCODER.name

    @property
    def catalogues(self) -> Path:
        """What the releases serve."""
        return self.folder / "var" / "catalogues"

    def release_document(self, name: str) -> dict[str, Any]:
        """What ``GET /release`` says of a release."""
        answer = httpx.get(f"{self.service.url}/release", timeout=90.0).json()
        return next((each for each in answer["releases"] if each["release"] == name), {})

    def worst_cosine(self, name: str) -> float:
        """What ``/metrics`` says of a release."""
        text = httpx.get(f"{self.service.url}/metrics", timeout=90.0).text
        found = re.search(rf'^longtail_fingerprint_worst_cosine{{[^}}]*release="{name}"[^}}]*}} (\S+)$', text, re.M)
        return float(found[1]) if found else float("nan")

    def encode(self) -> httpx.Response:
        """Ask the live release for vectors."""
        return httpx.post(f"{self.service.url}/encode", json={"texts": TEXTS}, timeout=90.0)

    def is_ready(self) -> bool:
        """Whether the service says so."""
        return httpx.get(f"{self.service.url}/readyz", timeout=90.0).status_code == 200

    def check_live(self) -> None:
        """See the live release answer, with the vectors that it always gave."""
        assert self.release_document("good")["status"] == "serving"
        answer = self.encode()
        assert answer.status_code == 200, answer.text
        assert answer.json()["release"] == "good"
        assert (np.asarray(answer.json()["vectors"]) * self.vectors).sum(axis=1).min() > 0.9999

    def written(self, name: str, *, version: str = PINNED, catalogue: str = "good") -> Path:
        """Create a release that no service sees yet; return its folder."""
        workshop = self.folder / "workshop"
        create(
            name,
            catalogue_name=catalogue,
            encoder_version=version,
            generator_version="1",
            model_repository=self.settings.model_repository,
            var=workshop,
        )
        return Path(shutil.move(workshop / "releases" / name, self.settings.var / "releases" / name))

    @contextmanager
    def staged(self, name: str) -> Iterator[str]:
        """Stage a release, wait until the running service refuses it, and give the reason; retire it afterwards."""
        self.place(lambda state: state.stage(name))
        until(lambda: self.release_document(name).get("status") in ("refused", "loaded"))
        document = self.release_document(name)
        assert document["status"] == "refused", f"{name} is {document['status']}: {document['fingerprint']}"
        yield document["reason"]
        self.place(lambda state: state.retire(name))

    def place(self, move: Callable[[ReleaseState], ReleaseState]) -> None:
        """Change the state past the checks that the commands make."""
        with changing_state(self.settings.var) as state:
            write_state(self.settings.var, move(state))

    def publish_encoder(self, version: str, *, graph: Path | None = None, tokenizer: str | None = None) -> None:
        """Publish the pinned version again under another number, with another graph or tokenizer, hashes and all."""
        folder = self.encoders / version
        linked(self.encoders / PINNED, folder)
        if graph is not None:
            put(folder / "model.onnx", graph)
        if tokenizer is not None:
            replace(folder / "tokenizer.json", tokenizer.encode())
        hashed_again(folder)

    def publish_catalogue(self, name: str, *, version: str = PINNED) -> Path:
        """Publish the good index again, as if an encoder version had embedded it."""
        folder = self.catalogues / name
        linked(self.catalogues / "good", folder)
        files = read_manifest(self.encoders / version)["files"]
        hashed_again(
            folder,
            encoder_version=version,
            encoder_sha256=files["model.onnx"],
            tokenizer_sha256=files["tokenizer.json"],
        )
        return folder

    async def reload(self) -> None:
        """Have Triton read the pinned version's folder again, without going away."""
        (self.encoders / PINNED / "model.onnx").touch()
        transport = TritonTransport(self.triton.url, admin_key=self.triton.admin_key)
        served = await transport.served_versions(TEXT_ENCODER.name, timeout_s=30.0)
        await transport.serve_versions(TEXT_ENCODER.name, served, timeout_s=60.0)
        await transport.close()


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + NOTICED_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s, "what was waited for did not happen"
        time.sleep(0.1)


def linked(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=os.link)


def put(path: Path, source: Path) -> None:
    """Put a file in the place of another, by one rename; the other's links elsewhere keep their content."""
    staged = path.with_name(f".{path.name}")
    shutil.copy(source, staged)
    staged.replace(path)


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def hashed_again(folder: Path, **facts: str) -> None:
    """Write a folder's manifest anew, so that it says the hashes of what is there."""
    known = {name: value for name, value in read_manifest(folder).items() if name != "files"}
    (folder / MANIFEST).unlink()
    write_manifest(folder, {**known, **facts})


def coarser(source: Path, target: Path) -> None:
    """Round the weights of a graph to 6 bits, a scale for each column."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim == 2:
            steps = np.maximum(np.abs(weights).max(axis=0, keepdims=True) / 31, np.float32(1e-12))
            tensor.CopyFrom(numpy_helper.from_array(np.round(weights / steps) * steps, tensor.name))
    onnx.save(model, target)


def of_first_tokens(source: Path, target: Path) -> None:
    """Pool a graph by the first token, where it takes the mean."""
    model = onnx.load(source)
    nodes = model.graph.node
    mean = next(node for node in nodes if "embedding" in node.output).input[0]
    hidden = max(index for index, node in enumerate(nodes) if node.op_type == "LayerNormalization")
    model.graph.initializer.append(numpy_helper.from_array(np.array(0), "first token"))
    first = helper.make_node("Gather", [nodes[hidden].output[0], "first token"], ["of the first token"], axis=1)
    for node in nodes:
        node.input[:] = ["of the first token" if name == mean else name for name in node.input]
    nodes.insert(hidden + 1, first)
    onnx.checker.check_model(model)
    onnx.save(model, target)
