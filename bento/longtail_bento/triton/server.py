"""Where the tritonserver binary and its backends are, and how one server is told to run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from longtail_client.errors import OperatorError
from longtail_client.triton_transport import ADMIN_HEADER

_OUR_BACKENDS = ("onnxruntime", "longtail_generator")
_GUARDED_APIS = "model-repository,shared-memory,trace,logging"


class TritonMissing(OperatorError):
    """No tritonserver binary is installed."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A tritonserver on this machine.

    Attributes:
        binary: The executable.
        library_folder: What ``LD_LIBRARY_PATH`` must hold; None where the binary finds its libraries itself.
        backends: Folder of its backends.
        python_stub: The python backend's stub for this Python; None where the backend brings one.
    """

    binary: Path
    library_folder: Path | None
    backends: Path
    python_stub: Path | None

    @property
    def has_native_onnxruntime(self) -> bool:
        """Whether the C++ onnxruntime backend is installed, so that no stand-in is needed."""
        return (self.backends / "onnxruntime" / "libtriton_onnxruntime.so").exists()


def find_installation() -> Installation:
    """Find tritonserver: NVIDIA's container first, then the wheel that ``longtail[triton]`` installs.

    Raises:
        TritonMissing: Neither is here.
    """
    container = Path("/opt/tritonserver")
    if (container / "bin" / "tritonserver").exists():
        return Installation(container / "bin" / "tritonserver", None, container / "backends", None)
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise TritonMissing(
            "expected tritonserver in /opt/tritonserver or in the environment, found neither; "
            "run `pip install longtail[triton]` or use NVIDIA's container"
        )
    package = Path(spec.origin).parent
    home = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Installation(
        home / "bin" / "tritonserver",
        package.parent / "nvidia_pytriton.libs",
        home / "backends",
        home / "python_backend_stubs" / version / "triton_python_backend_stub",
    )


def assemble_backends(installation: Installation, folder: Path) -> Path:
    """Lay out a backend folder: the python backend, and ours beside it.

    Args:
        installation: The server that will read it.
        folder: Where to lay it out; what is there is replaced.

    Returns:
        ``folder``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(installation.backends, folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    if installation.python_stub is not None:
        stub = folder / "python" / "triton_python_backend_stub"
        shutil.copy(installation.python_stub, stub)
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    source = Path(__file__).parent / "backends"
    for name in _OUR_BACKENDS:
        if name == "onnxruntime" and installation.has_native_onnxruntime:
            continue
        (folder / name).mkdir()
        shutil.copy(source / name / "model.py", folder / name / "model.py")
    return folder


def environment(installation: Installation) -> Mapping[str, str]:
    """Make the server's environment: its libraries, and this Python first on the path, for the stub takes the first.

    This Python's own ``libpython`` stands before the system's, which may be of another patch release: the stub would
    load that one under this Python's standard library, and ``_ssl`` or torch would then fail to import.
    """
    variables = dict(os.environ)
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
    if installation.library_folder is not None:
        own = sysconfig.get_config_var("LIBDIR")
        variables["LD_LIBRARY_PATH"] = os.pathsep.join([own, str(installation.library_folder)])
    return variables


def arguments(
    installation: Installation,
    *,
    model_repository: Path,
    backends: Path,
    profile: str,
    models: tuple[str, ...],
    ports: tuple[int, int, int],
    admin_key: str,
    shm_prefix: str,
) -> list[str]:
    """Write the server's command line: loopback only, explicit models, administration behind a key.

    Args:
        installation: The server.
        model_repository: What it serves.
        backends: The folder from `assemble_backends`.
        profile: ``cpu`` or ``gpu``, the name of the config files.
        models: Models to load.
        ports: HTTP, gRPC and metrics ports.
        admin_key: Value of the ``longtail-admin`` header that opens model and memory control.
        shm_prefix: Start of the names of its shared memory regions.
    """
    http, grpc, metrics = ports
    return [
        str(installation.binary),
        f"--model-repository={model_repository.absolute()}",
        f"--backend-directory={backends.absolute()}",
        f"--model-config-name={profile}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        "--disable-auto-complete-config",
        "--http-address=127.0.0.1",
        f"--http-port={http}",
        f"--http-restricted-api={_GUARDED_APIS}:{ADMIN_HEADER}={admin_key}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc}",
        f"--grpc-restricted-protocol={_GUARDED_APIS}:{ADMIN_HEADER}={admin_key}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={metrics}",
        "--allow-gpu-metrics=false",
        "--exit-timeout-secs=10",
    ]
