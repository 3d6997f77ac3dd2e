"""How tritonserver is told to run, and what its backend folder holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from longtail_bento.triton.server import Installation, arguments, assemble_backends, environment


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A server's folders, as the wheel lays them out, with empty files."""
    home = tmp_path / "tritonserver"
    for path in ("bin/tritonserver", "backends/python/libtriton_python.so", "backends/python/__pycache__/old.pyc"):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(path)
    stub = home / "stubs" / "stub"
    stub.parent.mkdir()
    stub.write_text("stub")
    stub.chmod(0o644)
    return Installation(home / "bin" / "tritonserver", tmp_path / "libs", home / "backends", stub)


@pytest.fixture
def told(installation: Installation, tmp_path: Path) -> list[str]:
    return arguments(
        installation,
        model_repository=tmp_path / "models",
        backends=tmp_path / "backends",
        profile="cpu",
        models=("text_encoder", "generator"),
        ports=(8100, 8101, 8102),
        admin_key="k3y",
        shm_prefix="longtail-1-",
    )


def options(told: list[str]) -> dict[str, str]:
    return dict(each.removeprefix("--").partition("=")[::2] for each in told[1:])


def test_every_port_is_bound_to_loopback(told: list[str]) -> None:
    given = options(told)
    for door, port in (("http", "8100"), ("grpc", "8101"), ("metrics", "8102")):
        assert given[f"{door}-address"] == "127.0.0.1"
        assert given[f"{door}-port"] == port


@pytest.mark.parametrize("option", ["http-restricted-api", "grpc-restricted-protocol"])
def test_administration_needs_the_key_on_both_doors(told: list[str], option: str) -> None:
    apis, _, key = options(told)[option].partition(":")
    assert {"model-repository", "shared-memory", "trace", "logging"} <= set(apis.split(","))
    assert "inference" not in apis
    assert key == "longtail-admin=k3y"


def test_only_the_models_named_are_loaded(told: list[str]) -> None:
    assert "--model-control-mode=explicit" in told
    assert [each for each in told if each.startswith("--load-model")] == [
        "--load-model=text_encoder",
        "--load-model=generator",
    ]
    assert "--disable-auto-complete-config" in told


def test_folders_are_absolute_and_the_profile_is_named(
    installation: Installation, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(told)
    assert told[0] == str(installation.binary)
    assert given["model-config-name"] == "cpu"
    assert given["backend-config"] == "python,shm-region-prefix-name=longtail-1-"
    monkeypatch.chdir(tmp_path)
    relative = arguments(
        installation,
        model_repository=Path("models"),
        backends=Path("backends"),
        profile="gpu",
        models=(),
        ports=(1, 2, 3),
        admin_key="k",
        shm_prefix="p",
    )
    assert options(relative)["model-repository"] == str(tmp_path / "models")
    assert options(relative)["backend-directory"] == str(tmp_path / "backends")


def test_both_backends_lie_beside_the_python_backend(installation: Installation, tmp_path: Path) -> None:
    folder = assemble_backends(installation, tmp_path / "laid" / "out")
    assert folder == tmp_path / "laid" / "out"
    assert sorted(path.name for path in folder.iterdir()) == ["longtail_generator", "onnxruntime", "python"]
    for name in ("onnxruntime", "longtail_generator"):
        source = (folder / name / "model.py").read_text()
        compile(source, "model.py", "exec")
        assert "class TritonPythonModel" in source
    assert (folder / "python" / "libtriton_python.so").read_text() == "backends/python/libtriton_python.so"
    assert not (folder / "python" / "__pycache__").exists()


def test_the_stub_is_executable(installation: Installation, tmp_path: Path) -> None:
    stub = assemble_backends(installation, tmp_path / "out") / "python" / "triton_python_backend_stub"
    assert stub.read_text() == "stub"
    assert os.access(stub, os.X_OK)


def test_what_was_laid_out_before_is_replaced(installation: Installation, tmp_path: Path) -> None:
    folder = assemble_backends(installation, tmp_path / "out")
    (folder / "stale").mkdir()
    (folder / "onnxruntime" / "model.py").write_text("old")
    assemble_backends(installation, folder)
    assert not (folder / "stale").exists()
    assert "TritonPythonModel" in (folder / "onnxruntime" / "model.py").read_text()


def test_the_native_onnxruntime_backend_is_left_in_its_place(installation: Installation, tmp_path: Path) -> None:
    native = installation.backends / "onnxruntime" / "libtriton_onnxruntime.so"
    native.parent.mkdir()
    native.write_text("native")
    assert installation.has_native_onnxruntime
    folder = assemble_backends(installation, tmp_path / "out")
    assert sorted(path.name for path in (folder / "onnxruntime").iterdir()) == ["libtriton_onnxruntime.so"]
    assert (folder / "longtail_generator" / "model.py").exists()


def test_the_server_finds_this_python_and_its_libraries(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("LONGTAIL_PORT", "3001")
    variables = environment(installation)
    assert variables["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    libraries = variables["LD_LIBRARY_PATH"].split(os.pathsep)
    assert libraries[-1] == str(tmp_path / "libs")
    # The stub must load the libpython of the standard library that it will run, not the system's.
    loaded = next(path for path in _loaded_libraries() if "/libpython3" in path)
    assert Path(loaded).parent.samefile(libraries[0])
    assert variables["LONGTAIL_PORT"] == "3001"


def _loaded_libraries() -> list[str]:
    """Read which files this process has mapped."""
    return [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line]


def test_a_server_that_brings_its_libraries_is_left_alone(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    container = Installation(installation.binary, None, installation.backends, None)
    assert "LD_LIBRARY_PATH" not in environment(container)
