"""The offline commands: `longtail export …`, `longtail release create` and `longtail doctor`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from longtail_client.cli import Json, Repository, Var, emit, group
from longtail_client.completion import catalogue_names, encoder_versions, generator_versions
from longtail_export.doctor_command import doctor

Version = Annotated[int, typer.Option(min=1, help="Version to publish; a published one is never overwritten.")]


class Precision(StrEnum):
    """What an encoder version computes in."""

    bf16 = "bf16"
    int8 = "int8"
    fp16 = "fp16"
    fp32 = "fp32"


class Profile(StrEnum):
    """What kind of host will serve."""

    cpu = "cpu"
    gpu = "gpu"


_console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the offline commands to `longtail`."""
    export = typer.Typer(no_args_is_help=True, help="Write model versions and catalogues.")
    export.command("encoder")(encoder)
    export.command("generator")(generator)
    export.command("catalogue")(catalogue)
    export.command("config")(config)
    app.add_typer(export, name="export")
    group(app, "release").command("create")(create_release)
    app.command("doctor")(doctor)


def encoder(
    *,
    source: Annotated[
        str, typer.Option(help="A pinned name, a folder with a BERT checkpoint, or hf:owner/name.")
    ] = "minilm-l6",
    precision: Annotated[
        Precision,
        typer.Option(
            help="bf16: high fidelity, computed in bfloat16 where the CPU has it. int8: static 8-bit, smallest and "
            "fastest where it has VNNI or AMX. fp16: for GPUs. fp32: the reference."
        ),
    ] = Precision.bf16,
    version: Version = 1,
    catalogue_texts: Annotated[
        Path | None,
        typer.Option(help="Texts of a catalogue, one a line, whose neighbours must be kept; films if none."),
    ] = None,
    calibration_texts: Annotated[
        Path | None, typer.Option(help="Other texts of the same kind, one a line, to calibrate int8 on.")
    ] = None,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Export the text encoder to ONNX, and publish it once it measures what its precision asks.

    What it measured is in report.json beside the model. Example: longtail export encoder --precision int8 --version 2
    """
    from longtail_export.encoder_export import export_encoder
    from longtail_export.encoder_samples import read_samples
    from longtail_export.progress import TerminalProgress
    from longtail_export.sources import fetch

    progress = TerminalProgress(_console)
    progress.step(f"fetching {source}")
    folder, report = export_encoder(
        fetch(source, var / "sources"),
        source_name=source,
        precision=precision.value,
        samples=read_samples(catalogue_texts, calibration_texts, var / "sources"),
        references=var / "references",
        model_repository=model_repository,
        version=version,
        progress=progress,
    )
    if as_json:
        emit({"published": str(folder), "report": asdict(report)})
    else:
        measured = report.measured
        _console.print(
            f"published {folder} ({report.precision}): keeps {measured.neighbour_overlap:.3f} of float32's neighbours, "
            f"mean cosine {measured.mean_cosine:.5f}, worst {measured.worst_cosine:.5f}; the same text anywhere "
            f"{min(measured.batch_invariance, measured.padding_invariance):.6f}; {measured.throughput_ratio:.2f} times "
            f"float32's throughput on {report.cpu}"
        )


def generator(
    *,
    source: Annotated[
        str, typer.Option(help="A pinned name, a folder with a .gguf or a checkpoint of safetensors, or hf:owner/name.")
    ] = "smollm2-135m",
    engine: Annotated[
        str, typer.Option(help="What will write: openvino (CPU), transformers (torch, any device) or vllm (GPU).")
    ] = "openvino",
    precision: Annotated[
        str | None, typer.Option(help="int8, bf16 or fp32; by default int8 for openvino and bf16 for the others.")
    ] = None,
    served_at: Annotated[
        Path | None,
        typer.Option(help="For vllm: where the server will find the model repository, as /models in a container."),
    ] = None,
    version: Version = 1,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Convert the generator for an engine, and publish it once it writes as its source does.

    Example: longtail export generator --source smollm2-135m --engine openvino --precision int8 --version 1

    For NVIDIA's vLLM backend: longtail export generator --engine vllm --version 2 --served-at /models
    """
    from longtail_client.manifest import read_manifest
    from longtail_export.generator_export import export_generator
    from longtail_export.progress import TerminalProgress
    from longtail_export.sources import fetch

    progress = TerminalProgress(_console)
    progress.step(f"fetching {source}")
    folder = export_generator(
        fetch(source, var / "sources"),
        source_name=source,
        engine=engine,
        precision=precision,
        served_at=served_at,
        model_repository=model_repository,
        version=version,
        progress=progress,
    )
    manifest = read_manifest(folder)
    if as_json:
        emit({"published": str(folder), "engine": engine, "precision": manifest["precision"]})
    else:
        _console.print(f"published {folder} for {engine} in {manifest['precision']}: {manifest['computes']}")


def catalogue(
    *,
    name: Annotated[str, typer.Option(help="Name of the catalogue; a published one is never overwritten.")] = "demo",
    dataset: Annotated[str | None, typer.Option(help="A known dataset: ml-100k.")] = None,
    items: Annotated[Path | None, typer.Option(help="CSV or Parquet: item_id, title[, text][, attributes…].")] = None,
    interactions: Annotated[
        Path | None, typer.Option(help="CSV or Parquet: user_id, item_id[, weight|rating][, timestamp].")
    ] = None,
    encoder_version: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Version of the text encoder that embeds the items; by default what suits this host.",
            autocompletion=encoder_versions,
        ),
    ] = None,
    profile: Annotated[Profile, typer.Option(help="Where it will be served.", envvar="LONGTAIL_PROFILE")] = Profile.cpu,
    triton: Annotated[str | None, typer.Option(help="Triton's gRPC endpoint, host:port.")] = None,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Tidy items and interactions, embed the items through the live Triton, write the catalogue.

    Example: longtail up --triton-only -- longtail export catalogue --dataset ml-100k

    Your own data: longtail export catalogue --items items.csv --interactions ratings.parquet --name shop
    """
    from longtail_client.settings import ClientSettings
    from longtail_export.catalogue_export import export_catalogue
    from longtail_export.catalogue_sources import read_dataset, read_tables
    from longtail_export.cpu import this_cpu
    from longtail_export.encoder_choice import preferred_version
    from longtail_export.item_words import MAX_TEXT
    from longtail_export.progress import TerminalProgress

    tables_given = (items is not None) + (interactions is not None)
    if tables_given != (2 if dataset is None else 0):
        raise typer.BadParameter("give either --dataset, or both --items and --interactions")
    progress = TerminalProgress(_console)
    progress.step("reading items and interactions")
    tables = (
        read_dataset(dataset, var / "sources")
        if dataset is not None
        else read_tables(items or Path(), interactions or Path())
    )
    settings = ClientSettings() if triton is None else ClientSettings(triton_grpc=triton)
    report = export_catalogue(
        tables,
        folder=var / "catalogues" / name,
        var=var,
        model_repository=model_repository,
        encoder_version=str(
            encoder_version or preferred_version(model_repository, profile=profile.value, cpu=this_cpu())
        ),
        triton_url=settings.triton_grpc,
        timeout_s=settings.encode_timeout_s,
        progress=progress,
    )
    if as_json:
        emit(asdict(report))
    else:
        _console.print(
            f"published {report.folder}: {report.n_items} items, {report.n_tail} of them tail, "
            f"{report.n_interactions} interactions of {report.n_users} users; of {report.n_texts} texts "
            f"{report.n_encoded} were encoded, {report.n_texts - report.n_encoded} had a vector of {report.dim} "
            f"dimensions already"
            + (f"; {report.n_long_texts} texts were cut at {MAX_TEXT} characters" if report.n_long_texts else "")
        )


def config(
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a file is not current.")] = False,
    model_repository: Repository = Path("model_repository"),
    as_json: Json = False,
) -> None:
    """Write every config.pbtxt and configs/*.pbtxt from the contract, the profiles and the published versions.

    Exporting a version does this too, for its model. Example: longtail export config --check
    """
    from longtail_export.config_writer import ConfigNotCurrent, configured_models, stale_configs, write_configs

    write = stale_configs if check else write_configs
    files = [str(path) for model in configured_models() for path in write(model_repository, model)]
    if as_json:
        emit({"stale" if check else "written": files})
    elif not check or not files:
        _console.print("\n".join(f"wrote {file}" for file in files) or "every configuration is current")
    if check and files:
        raise ConfigNotCurrent(
            f"expected what the profiles and the published versions say, got something else in {', '.join(files)}; "
            "run `longtail export config`"
        )


def create_release(
    *,
    name: Annotated[str, typer.Option(help="Name of the release.")] = "demo-1",
    catalogue_name: Annotated[
        str, typer.Option("--catalogue", help="Catalogue that it serves.", autocompletion=catalogue_names)
    ] = "demo",
    encoder_version: Annotated[
        int | None,
        typer.Option(
            min=1, help="Version of the text encoder; by default the catalogue's.", autocompletion=encoder_versions
        ),
    ] = None,
    generator_version: Annotated[
        int, typer.Option(min=1, help="Version of the generator.", autocompletion=generator_versions)
    ] = 1,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Pin models, catalogue, prompt and scoring weights by hash, and stage the release; the first one goes live.

    Example: longtail release create --name demo-1 --catalogue demo
    """
    from longtail_client.manifest import read_manifest
    from longtail_client.release_state import read_state
    from longtail_export.release_writer import create

    path = create(
        name,
        catalogue_name=catalogue_name,
        encoder_version=str(encoder_version or read_manifest(var / "catalogues" / catalogue_name)["encoder_version"]),
        generator_version=str(generator_version),
        model_repository=model_repository,
        var=var,
    )
    place = read_state(var).place_of(name)
    if as_json:
        emit({"release": name, "path": str(path), "place": place})
    else:
        _console.print(f"published {path}, which is {place} from now on")
