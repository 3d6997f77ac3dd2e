"""What the client's tests share: a free port, a tiny house of releases, and the command line run in this process."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from longtail_client import cli
from longtail_client.manifest import publishing, read_manifest, write_manifest
from longtail_client.release import (
    RELEASE_FILE,
    ChatMarkup,
    Example,
    PinnedCatalogue,
    PinnedModel,
    Prompt,
    Release,
    Weights,
    prompt_sha256,
)


@pytest.fixture
def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


PROMPT = Prompt(
    system="Describe a film.",
    examples=(Example(liked=("Alien (1979)",), description="Thriller, 1980s"),),
    markup=ChatMarkup(system="<s>{}", user="<u>{}", assistant="<a>{}", assistant_opening="<a>"),
    max_tokens=32,
    temperature=0.7,
    top_p=0.9,
    repetition_penalty=1.1,
    stop=("\n",),
)


@dataclass(frozen=True)
class House:
    """A `var` and a model repository of small files, whose hashes are real.

    Attributes:
        root: The folder that holds both.
    """

    root: Path

    @property
    def var(self) -> Path:
        """Folder of catalogues and releases."""
        return self.root / "var"

    @property
    def models(self) -> Path:
        """Triton's model repository."""
        return self.root / "model_repository"

    def publish(self, folder: Path, content: str, *files: str, **facts: Any) -> None:
        """Publish a folder of files that say what they are."""
        with publishing(folder) as staging:
            for file in files:
                (staging / file).write_text(f"{file} of {content}\n" * 20)
            write_manifest(staging, facts)

    def create(self, name: str, *, encoder: str = "1", catalogue: str = "films") -> None:
        """Write a release, and whichever of its parts is not there yet; it is in no place."""
        encoder_folder = self.models / "text_encoder" / encoder
        generator_folder = self.models / "generator" / "1"
        catalogue_folder = self.var / "catalogues" / catalogue
        if not encoder_folder.exists():
            files = ("model.onnx", "tokenizer.json")
            self.publish(encoder_folder, f"encoder {encoder}", *files, source="minilm-l6", precision="fp32")
        if not generator_folder.exists():
            self.publish(generator_folder, "generator", "generator.json", "weights.bin", source="smollm2-135m")
        if not catalogue_folder.exists():
            files = ("items.parquet", "vectors.npy", "top_k.onnx")
            self.publish(catalogue_folder, catalogue, *files, n_items=20)
        release = Release(
            name=name,
            created_at="2026-01-02T03:04:05+00:00",
            encoder=PinnedModel(version=encoder, files=read_manifest(encoder_folder)["files"]),
            generator=PinnedModel(version="1", files=read_manifest(generator_folder)["files"]),
            catalogue=PinnedCatalogue(name=catalogue, files=read_manifest(catalogue_folder)["files"]),
            prompt=PROMPT,
            prompt_sha256=prompt_sha256(PROMPT),
            weights=Weights(description=1.0, steer=2.0, interest=1.0, popularity=0.25),
        )
        with publishing(self.var / "releases" / name) as staging:
            (staging / RELEASE_FILE).write_text(release.model_dump_json(indent=2) + "\n")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty house."""
    return House(tmp_path / "house")


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)


@pytest.fixture
def longtail(house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run `longtail` with arguments, over the house."""
    monkeypatch.setenv("LONGTAIL_VAR", str(house.var))
    monkeypatch.setenv("LONGTAIL_MODEL_REPOSITORY", str(house.models))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["longtail", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run
