"""The doctor: each rule on a repository planted for it, where it finds that one thing and nothing else does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import typer
from onnx import TensorProto, helper
from typer.testing import CliRunner

from longtail_client.errors import ContractMismatch
from longtail_client.manifest import write_manifest
from longtail_export.cli import register
from longtail_export.doctor import Finding, Machine, _cores, examine
from longtail_export.doctor_rules import RULES

ROOT = Path(__file__).parents[2]
MACHINE = Machine(cores=4, shm_bytes=64 << 20)
CONFIG = """\
# A model with nothing wrong.
name: "double"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 3 ] } ]
version_policy {
  specific { versions: [ 1 ] }
}
dynamic_batching { }
instance_group [ { count: 1 kind: KIND_CPU } ]
model_warmup [ {
  name: "zeros" batch_size: 1
  inputs { key: "x" value: { data_type: TYPE_FP32 dims: [ 3 ] zero_data: true } }
} ]
"""


def write_graph(path: Path, *nodes: Any) -> None:
    """Write a graph over three numbers; without nodes, one that doubles them."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(list(nodes) or [helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder with nothing wrong, in a repository of its own."""
    folder = tmp_path / "double"
    (folder / "1").mkdir(parents=True)
    write_graph(folder / "1" / "model.onnx")
    write_manifest(folder / "1", {"model": "double"})
    (folder / "config.pbtxt").write_text(CONFIG)
    return folder


def edit(model: Path, old: str, new: str, file: str = "config.pbtxt") -> None:
    text = (model / file).read_text()
    assert text.count(old) == 1, f"{old!r} in {text}"
    (model / file).write_text(text.replace(old, new))


def found(model: Path, machine: Machine = MACHINE) -> list[Finding]:
    return examine(model.parent, machine, RULES)


def planted(
    name: str, at: str, *, old: str = "", new: str = "", plant: Callable[[Path], None] | None = None, says: str
) -> Any:
    return pytest.param(name, at, old, new, plant, says, id=f"{name}-{re.sub(r'[^a-z0-9]+', '-', says.lower())[:40]}")


def publish_again(model: Path) -> None:
    (model / "1" / "manifest.json").unlink()
    write_manifest(model / "1", {"model": "double"})


def python_model(code: str) -> Callable[[Path], None]:
    """Make the model one of the python backend, with a response cache."""

    def plant(model: Path) -> None:
        edit(model, 'backend: "onnxruntime"', 'backend: "python"')
        edit(model, "dynamic_batching { }", "dynamic_batching { }\nresponse_cache { enable: true }")
        (model / "1" / "model.py").write_text(code)
        publish_again(model)

    return plant


def python_model_with_a_second_file(model: Path) -> None:
    python_model("from asked import asked\n")(model)
    (model / "1" / "asked.py").write_text("asked = lambda request: (lambda read: read())(request.parameters)\n")
    publish_again(model)


def decoupled(model: Path) -> None:
    python_model("")(model)
    edit(model, "max_batch_size: 8", "max_batch_size: 8\nmodel_transaction_policy { decoupled: true }")


def overwritten(model: Path) -> None:
    (model / "1" / "tokenizer.json").write_text("{}")
    publish_again(model)
    (model / "1" / "tokenizer.json").write_text("{ }")


def dynamic(model: Path) -> None:
    shutil.rmtree(model / "1")
    (model / "1").mkdir()
    write_graph(
        model / "1" / "model.onnx",
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"], name="quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    )


def dynamic_in_a_branch(model: Path) -> None:
    branch = helper.make_graph(
        [
            helper.make_node("DynamicQuantizeMatMul", ["x", "w", "s"], ["b"], name="hidden", domain="com.microsoft"),
        ],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n", 3])],
    )
    (model / "1" / "manifest.json").unlink()
    write_graph(
        model / "1" / "model.onnx", helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    )


def pointer(model: Path) -> None:
    (model / "1" / "manifest.json").unlink()
    (model / "1" / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


PLANTED = [
    planted("unreadable-config", "config.pbtxt:4", old="max_batch_size: 8", new="max_batch: 8", says="no field named"),
    planted(
        "unpinned-versions",
        "config.pbtxt:1",
        old="version_policy {\n  specific { versions: [ 1 ] }\n}\n",
        new="",
        says="there is no version_policy",
    ),
    planted(
        "unpinned-versions",
        "config.pbtxt:7",
        old="specific { versions: [ 1 ] }",
        new="latest { num_versions: 2 }",
        says="version_policy is 'latest', expected 'specific'",
    ),
    planted(
        "unpinned-versions",
        "config.pbtxt:1",
        plant=lambda model: (model / "config.pbtxt").unlink(),
        says="there is no configuration",
    ),
    planted(
        "unequal-shapes",
        "config.pbtxt:5",
        old='input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ]',
        new='input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ]',
        says="input 'x' has an open dimension",
    ),
    planted(
        "optional-inputs",
        "config.pbtxt:6",
        old='input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]',
        new='input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] },\n'
        '{ name: "weight" data_type: TYPE_FP32 dims: [ 1 ] optional: true } ]',
        says="input 'weight' is optional",
    ),
    planted(
        "no-dynamic-batching",
        "config.pbtxt:4",
        old="dynamic_batching { }\n",
        new="",
        says="max_batch_size is 8, and there is no dynamic_batching",
    ),
    planted("decoupled-cache", "config.pbtxt:12", plant=decoupled, says="the model is decoupled, and has a cache"),
    planted(
        "cached-parameters",
        "config.pbtxt:11",
        plant=python_model("def execute(request):\n    return request.parameters()\n"),
        says="double/1/model.py:2 reads parameters of the request",
    ),
    planted(
        "cached-parameters",
        "config.pbtxt:11",
        plant=python_model_with_a_second_file,
        says="double/1/asked.py:1 reads parameters of the request",
    ),
    planted(
        "cached-parameters",
        "config.pbtxt:10",
        plant=lambda model: (model / "config.pbtxt").write_text(
            CONFIG.replace("onnxruntime", "longtail_generator").replace(
                "dynamic_batching { }", "response_cache { enable: true } dynamic_batching { }"
            )
        ),
        says="backend 'longtail_generator' may read parameters of the request",
    ),
    planted(
        "no-warm-up",
        "config.pbtxt:3",
        plant=lambda model: (model / "config.pbtxt").write_text(CONFIG.partition("model_warmup")[0]),
        says="there is no model_warmup",
    ),
    planted(
        "no-warm-up",
        "config.pbtxt:12",
        old="dims: [ 3 ] zero_data",
        new="dims: [ 32 ] zero_data",
        plant=lambda model: (model / "config.pbtxt").write_text(
            (model / "config.pbtxt").read_text()
            + 'parameters { key: "longtail.buckets" value: { string_value: "32,64" } }\n'
        ),
        says="model_warmup runs none of the lengths [64]",
    ),
    planted(
        "too-many-instances",
        "config.pbtxt:11",
        old="count: 1 kind: KIND_CPU",
        new="count: 3 kind: KIND_CPU",
        says="3 instances of 4 threads each share 4 cores",
    ),
    planted(
        "too-many-instances",
        "config.pbtxt:11",
        old="count: 1 kind: KIND_CPU",
        new="kind: KIND_CPU",
        says="2 instances of 4 threads each share 4 cores",
    ),
    planted(
        "too-many-instances",
        "config.pbtxt:11",
        old="count: 1 kind: KIND_CPU } ]",
        new='count: 3 kind: KIND_CPU } ]\nparameters { key: "intra_op_thread_count" value: { string_value: "2" } }',
        says="3 instances of 2 threads each share 4 cores",
    ),
    planted(
        "small-shm",
        "config.pbtxt:11",
        old='output [ { name: "y" data_type: TYPE_FP32 dims: [ 3 ]',
        new='output [ { name: "y" data_type: TYPE_FP32 dims: [ 4000000 ]',
        says="/dev/shm has 64.0 MiB, and the models of this repository take 123.1 MiB",
    ),
    planted(
        "missing-version",
        "config.pbtxt:8",
        old="[ 1 ] }\n",
        new="[ 1, 2, 4 ] }\n",
        says="the version policy names versions 2, 4, and there is no such folder",
    ),
    planted(
        "unserved-version",
        "config.pbtxt:8",
        plant=lambda model: shutil.copytree(model / "1", model / "2"),
        says="no version policy names version 2, and there is such a folder",
    ),
    planted("overwritten-version", "1/manifest.json:5", plant=overwritten, says="tokenizer.json: expected sha256"),
    planted(
        "overwritten-version",
        "1/manifest.json:4",
        plant=lambda model: (model / "1" / "model.onnx").unlink(),
        says="model.onnx: expected the file",
    ),
    planted(
        "overwritten-version",
        "1/manifest.json:1",
        plant=lambda model: (model / "1" / "manifest.json").write_text("{"),
        says="expected a manifest at",
    ),
    planted(
        "empty-version",
        "config.pbtxt:7",
        plant=lambda model: [path.unlink() for path in (model / "1").iterdir()],
        says="version 1 has no file",
    ),
    planted(
        "unnamed-file",
        "1/manifest.json:1",
        plant=lambda model: (model / "1" / "model.onnx.data").write_text("weights"),
        says="model.onnx.data is in the folder, and the manifest does not name it",
    ),
    planted(
        "python-cache",
        "config.pbtxt:7",
        plant=lambda model: (model / "1" / "__pycache__").mkdir(),
        says="version 1 has 1/__pycache__",
    ),
    planted(
        "dynamic-int8",
        "config.pbtxt:7",
        plant=dynamic,
        says="1/model.onnx computes with DynamicQuantizeLinear, in node 'quantise'",
    ),
    planted(
        "dynamic-int8",
        "config.pbtxt:7",
        plant=dynamic_in_a_branch,
        says="computes with DynamicQuantizeMatMul, in node 'hidden'",
    ),
    planted("unreadable-graph", "config.pbtxt:7", plant=pointer, says="1/model.onnx is no ONNX model"),
]


@pytest.mark.parametrize(("name", "at", "old", "new", "plant", "says"), PLANTED)
def test_what_is_planted_is_the_only_finding(
    model: Path, name: str, at: str, old: str, new: str, plant: Callable[[Path], None] | None, says: str
) -> None:
    assert found(model) == []
    if old:
        edit(model, old, new)
    if plant is not None:
        plant(model)
    (finding,) = found(model)
    rule = next(rule for rule in RULES if rule.name == name)
    assert (finding.rule, finding.severity, finding.why, finding.mend) == (name, rule.severity, rule.why, rule.mend)
    assert f"{finding.file}:{finding.line}" == f"{model}/{at}"
    assert says in finding.what


def test_every_rule_is_planted_once_at_least() -> None:
    assert {case.values[0] for case in PLANTED} == {rule.name for rule in RULES}


def test_rules_read_every_profile(model: Path) -> None:
    (model / "configs").mkdir()
    (model / "configs" / "gpu.pbtxt").write_text(CONFIG.replace("dynamic_batching { }\n", ""))
    (finding,) = found(model)
    assert (finding.rule, finding.file) == ("no-dynamic-batching", str(model / "configs" / "gpu.pbtxt"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dims: [ 3 ] } ]\noutput", "dims: [ -1 ] allow_ragged_batch: true } ]\noutput"),
        (
            "dims: [ 3 ] } ]\noutput",
            'dims: [ -1 ] } ]\nparameters { key: "longtail.buckets" value: { string_value: "3" } }\noutput',
        ),
        ("dynamic_batching { }", "sequence_batching { }"),
        ("dynamic_batching { }", "dynamic_batching { }\nresponse_cache { enable: true }"),
        ("dynamic_batching { }", "dynamic_batching { }  # response_cache { enable: true }"),
        ("count: 1 kind: KIND_CPU", "count: 3 kind: KIND_GPU"),
    ],
)
def test_what_only_looks_wrong_is_left_alone(model: Path, old: str, new: str) -> None:
    edit(model, old, new)
    assert found(model) == []


def test_a_python_model_that_reads_no_parameters_may_be_cached(model: Path) -> None:
    python_model("# request.parameters() is not read\n")(model)
    assert found(model) == []


def test_an_engine_that_batches_in_flight_may_have_optional_inputs_and_warms_itself_up(model: Path) -> None:
    text = CONFIG.partition("model_warmup")[0].replace("onnxruntime", "vllm")
    (model / "config.pbtxt").write_text(
        text.replace("dims: [ 3 ] } ]\noutput", "dims: [ 3 ] optional: true } ]\noutput")
    )
    assert found(model) == []


def test_a_version_that_one_profile_serves_is_served(model: Path) -> None:
    (model / "configs").mkdir()
    (model / "configs" / "gpu.pbtxt").write_text(CONFIG.replace("[ 1 ] }\n", "[ 2 ] }\n"))
    shutil.copytree(model / "1", model / "2")
    assert found(model) == []


def test_a_line_in_a_comment_is_not_the_line(model: Path) -> None:
    edit(model, "# A model with nothing wrong.", '# max_batch_size "is" # not here\n# max_batch_size: 8')
    edit(model, "dynamic_batching { }\n", "")
    (finding,) = found(model)
    assert finding.line == 5


def test_a_folder_without_models_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / ".hidden" / "1").mkdir(parents=True)
    with pytest.raises(ContractMismatch, match="expected a model repository"):
        examine(tmp_path, MACHINE, RULES)


def test_our_configurations_are_clean(tmp_path: Path) -> None:
    for path in (ROOT / "model_repository").glob("**/*.pbtxt"):
        target = tmp_path / path.relative_to(ROOT / "model_repository")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        for version in re.findall(r"\d+", re.search(r"versions: \[(.*?)\]", path.read_text())[1]):  # type: ignore[index]
            folder = tmp_path / target.relative_to(tmp_path).parts[0] / version
            folder.mkdir(exist_ok=True)
            (folder / "weights").touch()
    assert len(list(tmp_path.glob("**/*.pbtxt"))) == 6
    assert examine(tmp_path, Machine(cores=1, shm_bytes=64 << 20), RULES) == []


@pytest.mark.parametrize(("limit", "at_most"), [("100000 100000\n", 1), ("150000 100000\n", 2), ("1000 100000\n", 1)])
def test_cores_are_those_that_the_control_group_allows(tmp_path: Path, limit: str, at_most: int) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert _cores(tmp_path / "cpu.max") == min(at_most, _cores(tmp_path / "none"))
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert _cores(tmp_path / "cpu.max") == _cores(tmp_path / "none") >= 1


def run(*arguments: str) -> Any:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_the_command_ends_in_3_for_an_error_and_prints_what_where_why_and_the_mend(model: Path) -> None:
    edit(model, "specific { versions: [ 1 ] }", "all { }")
    ended = run("--model-repository", str(model.parent))
    assert ended.exit_code == 3
    assert (
        f"{model}/config.pbtxt:7: error: version_policy is 'all', expected 'specific' [unpinned-versions]"
        in ended.stdout
    )
    assert "  why:  Without a `specific`" in ended.stdout
    assert "  mend: Write `version_policy" in ended.stdout
    assert f"{len(RULES)} rules, 1 errors, 0 warnings" in ended.stdout


def test_the_command_ends_in_0_for_a_warning(model: Path) -> None:
    edit(model, "dynamic_batching { }\n", "")
    ended = run("--model-repository", str(model.parent), "--json")
    told = json.loads(ended.stdout)
    assert (ended.exit_code, told["errors"], told["warnings"]) == (0, 0, 1)
    assert set(told["findings"][0]) == {"rule", "severity", "file", "line", "what", "why", "mend"}


def test_another_host_can_be_named(model: Path) -> None:
    edit(
        model,
        "count: 1 kind: KIND_CPU } ]",
        'count: 3 kind: KIND_CPU } ]\nparameters { key: "intra_op_thread_count" value: { string_value: "1" } }',
    )
    enough = run("--model-repository", str(model.parent), "--cores", "3", "--shm-mib", "4")
    assert (enough.exit_code, "0 errors, 0 warnings" in enough.stdout) == (0, True)
    told = json.loads(run("--model-repository", str(model.parent), "--cores", "2", "--shm-mib", "2", "--json").stdout)
    assert [finding["rule"] for finding in told["findings"]] == ["small-shm", "too-many-instances"]


def test_the_page_says_what_the_command_explains() -> None:
    told = json.loads(run("--explain", "--json").stdout)["rules"]
    page = (ROOT / "docs" / "doctor.md").read_text()
    sections = re.findall(r"^### (\S+) \((\w+)\)\n\n(.*?)\n\n\*\*Mend\.\*\* (.*?)(?=\n\n#|\n*\Z)", page, re.M | re.S)
    written = [
        {"name": name, "severity": severity, "why": " ".join(why.split()), "mend": " ".join(mend.split())}
        for name, severity, why, mend in sections
    ]
    assert written == told
    plain = " ".join(run("--explain").stdout.split())
    assert all(" ".join(rule["mend"].split()) in plain for rule in told)


def test_findings_come_in_order_and_once(model: Path) -> None:
    twice = [replace(rule, find=lambda *_: [*places(), *places()]) for rule in RULES[:1]]

    def places() -> list[Any]:
        from longtail_export.doctor import Place

        return [Place(model / "b", 1, "x"), Place(model / "a", 10, "x"), Place(model / "a", 9, "x")]

    assert [(Path(each.file).name, each.line) for each in examine(model.parent, MACHINE, twice)] == [
        ("a", 9),
        ("a", 10),
        ("b", 1),
    ]
