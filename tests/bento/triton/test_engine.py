"""Reading vLLM's sampling parameters."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters, settled
from longtail_client.generator import Sampling


def read(**parameters: Any) -> SamplingParameters:
    return SamplingParameters.from_json(json.dumps(parameters))


@pytest.mark.parametrize("text", ["", "{}"])
def test_nothing_given_takes_the_defaults(text: str) -> None:
    assert SamplingParameters.from_json(text) == SamplingParameters(
        n=1,
        max_tokens=16,
        min_tokens=0,
        temperature=1.0,
        top_p=1.0,
        top_k=-1,
        repetition_penalty=1.0,
        stop=(),
        seed=None,
    )


def test_every_field_is_read() -> None:
    parameters = {
        "n": 3,
        "max_tokens": 40,
        "min_tokens": 4,
        "temperature": 0.25,
        "top_p": 0.5,
        "top_k": 20,
        "repetition_penalty": 1.5,
        "stop": ["\n", "."],
        "seed": 99,
    }
    assert read(**parameters) == SamplingParameters(**{**parameters, "stop": ("\n", ".")})


def test_what_the_client_writes_is_read() -> None:
    sampling = Sampling(n=2, max_tokens=8, min_tokens=1, temperature=0.0, top_p=0.9, top_k=5, stop=("x",), seed=2**53)
    read_back = SamplingParameters.from_json(sampling.as_json())
    for name in SamplingParameters.__slots__:
        assert getattr(read_back, name) == getattr(sampling, name)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n": 16},
        {"max_tokens": 2048},
        {"max_tokens": 1, "min_tokens": 1},
        {"temperature": 0},
        {"temperature": 10},
        {"top_p": 1},
        {"top_k": -1},
        {"repetition_penalty": 2},
        {"seed": 2**63 - 1},
    ],
)
def test_the_ends_of_a_range_are_inside(parameters: dict[str, Any]) -> None:
    sampling = read(**parameters)
    assert {name: getattr(sampling, name) for name in parameters} == parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 0),
        ("n", 17),
        ("n", 1.0),
        ("n", True),
        ("n", "two"),
        ("max_tokens", 0),
        ("max_tokens", 2049),
        ("min_tokens", -1),
        ("min_tokens", 17),
        ("temperature", -0.1),
        ("temperature", 10.1),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 1.01),
        ("top_k", -2),
        ("top_k", 1.5),
        ("repetition_penalty", 0),
        ("repetition_penalty", 2.1),
        ("seed", -1),
        ("seed", 2**63),
        ("stop", 5),
        ("stop", [5]),
        ("stop", [""]),
        ("stop", ""),
        ("stop", {"a": 1}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^sampling_parameters\.{name}: expected .*got {re.escape(repr(value))}"):
        read(**{name: value})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("name", ["temperature", "top_p", "n", "seed"])
def test_what_is_no_number_is_refused_by_name(name: str, number: str) -> None:
    with pytest.raises(ValueError, match=rf"^sampling_parameters\.{name}: "):
        SamplingParameters.from_json(f'{{"{name}": {number}}}')


def test_numbers_may_be_strings_as_nvidias_own_client_writes_them() -> None:
    written = read(temperature="0.25", max_tokens="100", top_k="5")
    assert written == SamplingParameters(temperature=0.25, max_tokens=100, top_k=5)


def test_no_stop_string_is_looked_for_before_the_start() -> None:
    assert settled("one two one", ("one",), start=3) == ("one two ", True)
    assert settled("one o", ("one",), start=4) == ("one ", False)
    assert settled("on", ("one",), start=2) == ("on", False)


def test_null_takes_the_default() -> None:
    assert read(temperature=None, stop=None, n=None) == SamplingParameters()


def test_one_stop_string_may_stand_alone() -> None:
    assert read(stop="\n").stop == ("\n",)


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"^sampling_parameters: unknown \['beam', 'presence_penalty'\], expected some"
    ):
        read(presence_penalty=1, beam=2, n=1)


@pytest.mark.parametrize("text", ["[]", "5", '"n"', "null", "{", "n=1", "[" * 100_000, '{"n": ' + "9" * 6000 + "}"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^sampling_parameters: expected a JSON object, got"):
        SamplingParameters.from_json(text)


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("a film", (), ("a film", False)),
        ("a film\n", ("\n",), ("a film", True)),
        ("a film; another\n", ("\n", ";"), ("a film", True)),
        ("a film<|im", ("<|im_end|>",), ("a film", False)),
        ("a film<|im_end|>", ("\n", "<|im_end|>"), ("a film", True)),
        ("a film<", ("<|im_end|>", "<b>"), ("a film", False)),
        ("a film<c", ("<|im_end|>", "<b>"), ("a film<c", False)),
        ("aaab", ("aaac",), ("aaab", False)),
        ("baaa", ("aaac",), ("b", False)),
        ("", ("\n",), ("", False)),
    ],
)
def test_a_text_is_handed_over_up_to_what_may_become_a_stop_string(
    text: str, stop: tuple[str, ...], expected: tuple[str, bool]
) -> None:
    assert settled(text, stop) == expected


@settings(max_examples=100, deadline=None)
@given(st.text("ab;", max_size=20), st.lists(st.text("ab;", min_size=1, max_size=4), max_size=3).map(tuple))
def test_what_was_handed_over_is_never_taken_back(text: str, stop: tuple[str, ...]) -> None:
    handed_over = ""
    for end in range(len(text) + 1):
        sure, stopped = settled(text[:end], stop)
        assert sure.startswith(handed_over)
        handed_over = sure
        assert stopped == any(each in text[:end] for each in stop)
        if stopped:
            break
        assert text.startswith(sure)
        assert len(text[:end]) - len(sure) < max(map(len, stop), default=1)
    assert not any(each in handed_over for each in stop)
