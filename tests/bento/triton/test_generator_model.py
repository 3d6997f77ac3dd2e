"""The generator backend, called as Triton calls it, over an engine of words."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.bento.triton.word_engine import WordEngine, word_of

FINAL = 1
ON_CPU = {"model_instance_kind": "CPU", "model_instance_device_id": "0"}
GREEDY = {"temperature": 0, "max_tokens": 3}


def words(prompt: str, n_words: int) -> str:
    from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters

    word = word_of(prompt, SamplingParameters(temperature=0.0), 0)
    return "".join(f"{word}{index} " for index in range(n_words))


@pytest.fixture
def module(backend: Callable[[str], ModuleType]) -> ModuleType:
    return backend("longtail_generator")


@pytest.fixture
def model(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(module, "engine_opener", lambda folder, device: WordEngine)
    model = module.TritonPythonModel()
    model.initialize({"model_repository": "/models", "model_version": "1", "model_name": "generator", **ON_CPU})
    yield model
    model.finalize()


@pytest.fixture
def request_of(triton_utils: ModuleType) -> Callable[..., Any]:
    def make(prompt: str, *, batched: bool = True, **given: Any) -> Any:
        arrays = {"text_input": np.array([prompt.encode()], dtype=np.object_)}
        for name, value in given.items():
            text = isinstance(value, dict)
            arrays[name] = np.array([json.dumps(value).encode()], dtype=np.object_) if text else np.array([value])
        return triton_utils.Request({name: array[np.newaxis] if batched else array for name, array in arrays.items()})

    return make


def answered(request: Any) -> list[tuple[Any, int]]:
    deadline_s = time.monotonic() + 60.0
    while not (request.sender.sent and request.sender.sent[-1][1] == FINAL):
        assert time.monotonic() < deadline_s, request.sender.sent
        time.sleep(0.001)
    return list(request.sender.sent)


def texts(response: Any) -> list[str]:
    output = response.arrays()["text_output"]
    assert output.shape[0] == 1
    return [text.decode() for text in output[0]]


@pytest.mark.parametrize("batched", [True, False])
def test_a_request_is_answered_once_with_the_prompt_as_vllm_does(model: Any, request_of: Any, batched: bool) -> None:
    request = request_of("say", batched=batched, sampling_parameters=GREEDY)
    model.execute([request])
    ((response, flags),) = answered(request)
    assert texts(response) == ["say" + words("say", 3)]
    assert flags == FINAL


def test_the_prompt_is_left_out_where_that_is_asked_for(model: Any, request_of: Any) -> None:
    request = request_of("say", sampling_parameters={**GREEDY, "n": 2}, exclude_input_in_output=True)
    model.execute([request])
    ((response, _),) = answered(request)
    assert texts(response) == [words("say", 3)] * 2


def test_a_stream_comes_in_pieces_without_the_prompt(model: Any, request_of: Any) -> None:
    request = request_of("say", sampling_parameters=GREEDY, stream=True)
    model.execute([request])
    sent = answered(request)
    assert "".join(texts(response)[0] for response, _ in sent) == words("say", 3)
    assert [flags for _, flags in sent] == [0, 0, FINAL]


def test_a_bad_request_fails_alone(model: Any, request_of: Any) -> None:
    bad = request_of("say", sampling_parameters={"n": 99})
    empty = request_of(" ", sampling_parameters=GREEDY)
    good = request_of("say", sampling_parameters=GREEDY)
    model.execute([bad, empty, good])
    ((refusal, flags),) = answered(bad)
    assert refusal.error.message().startswith("sampling_parameters.n: expected an integer from 1 to 16")
    assert (refusal.error.code, flags) == ("INVALID_ARG", FINAL)
    ((refusal, _),) = answered(empty)
    assert refusal.error.message().startswith("text_input: ")
    ((response, _),) = answered(good)
    assert response.error is None


def test_several_prompts_in_one_request_are_refused(model: Any, triton_utils: ModuleType) -> None:
    request = triton_utils.Request({"text_input": np.array([[b"a"], [b"b"]], dtype=np.object_)})
    model.execute([request])
    ((refusal, _),) = answered(request)
    assert refusal.error.message() == "text_input: expected one value a request, got 2; send one request a prompt"


def test_a_request_that_is_cancelled_ends_without_texts(model: Any, request_of: Any) -> None:
    request = request_of("say", sampling_parameters={"max_tokens": 2000})
    request.sender.is_gone = True
    model.execute([request])
    assert answered(request) == [(None, FINAL)]


def test_running_texts_are_a_gauge(model: Any, request_of: Any, triton_utils: ModuleType) -> None:
    request = request_of("say", sampling_parameters={**GREEDY, "n": 4})
    model.execute([request])
    answered(request)
    model.finalize()
    assert max(triton_utils.gauges) == 4
    assert triton_utils.gauges[-1] == 0


def test_unloading_ends_the_engines_thread(model: Any) -> None:
    model.finalize()
    assert [thread for thread in threading.enumerate() if thread.name == "engine"] == []


@pytest.mark.parametrize("recipe", [None, "[]", '{"engine": "torch"}'])
def test_a_version_that_cannot_be_opened_says_why(
    module: ModuleType, triton_utils: ModuleType, tmp_path: Any, recipe: str | None
) -> None:
    folder = tmp_path / "3"
    folder.mkdir()
    if recipe is not None:
        (folder / "generator.json").write_text(recipe)
    arguments = {"model_repository": str(tmp_path), "model_version": "3", "model_name": "generator", **ON_CPU}
    with pytest.raises(triton_utils.TritonModelException, match=r"/3: .*generator\.json"):
        module.TritonPythonModel().initialize(arguments)


@pytest.mark.parametrize(
    ("kind", "number", "device"), [("CPU", "0", "cpu"), ("GPU", "2", "cuda:2"), ("MODEL", "0", None)]
)
def test_the_engine_runs_where_triton_places_the_instance(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str, number: str, device: str | None
) -> None:
    asked = []
    monkeypatch.setattr(module, "engine_opener", lambda folder, device: asked.append(device) or WordEngine)
    model = module.TritonPythonModel()
    placed = {"model_instance_kind": kind, "model_instance_device_id": number}
    model.initialize({"model_repository": "/models", "model_version": "1", "model_name": "generator", **placed})
    model.finalize()
    assert asked == [device]


def test_sampling_parameters_may_come_as_parameters_of_the_request(model: Any, request_of: Any) -> None:
    request = request_of("say", exclude_input_in_output=True)
    request.sent_parameters = {**GREEDY, "triton_enable_empty_final_response": True}
    model.execute([request])
    ((response, _),) = answered(request)
    assert texts(response) == [words("say", 3)]


def test_a_stream_that_shall_repeat_its_prompt_is_refused(model: Any, request_of: Any) -> None:
    request = request_of("say", sampling_parameters=GREEDY, stream=True, exclude_input_in_output=False)
    model.execute([request])
    ((refusal, flags),) = answered(request)
    assert refusal.error.message().startswith("exclude_input_in_output: expected true with stream")
    assert flags == FINAL
