"""The probes and how they travel."""

from __future__ import annotations

import numpy as np

from longtail_client.encoder import Encoder, TextTokenizer, bucket_for
from longtail_client.fingerprint import PROBE_TEXTS, Comparison, compare_fingerprint, groupings, take_fingerprint
from longtail_client.testing import FakeTransport

LENGTHS = [3, 40, 9, 200, 12, 90, 30, 120]


def comparison(**cosines: list[float]) -> Comparison:
    by_grouping = {name.replace("_", " "): np.array(row, dtype=np.float32) for name, row in cosines.items()}
    return Comparison(by_grouping, 0.98, 0.0, ("short", "longer", "longest"), (3, 40, 200))


def test_there_are_32_probes_all_different() -> None:
    assert len(set(PROBE_TEXTS)) == 32
    assert any(ord(letter) > 0x2000 for text in PROBE_TEXTS for letter in text)


def test_each_grouping_holds_every_probe_once() -> None:
    for requests in groupings(LENGTHS).values():
        assert sorted(probe for request in requests for probe in request) == list(range(len(LENGTHS)))


def test_groupings_differ_in_the_company_that_they_keep() -> None:
    by_name = groupings(LENGTHS)
    assert [len(request) for request in by_name["alone"]] == [1] * 8
    assert by_name["beside its like"] == [[0, 2, 4, 6], [1, 5, 7, 3]]
    widths = [{bucket_for(LENGTHS[probe]) for probe in request} for request in by_name["beside longer ones"]]
    assert all(len(buckets) > 1 for buckets in widths), "a request of one bucket pads nobody"


async def test_probes_are_sent_alone_and_in_both_kinds_of_company(tiny_tokenizer: TextTokenizer) -> None:
    transport = FakeTransport()
    encoder = await Encoder.connect(transport, tiny_tokenizer, version="1")
    fingerprint = await take_fingerprint(encoder, tiny_tokenizer)
    transport.calls.clear()
    result = await compare_fingerprint(encoder, tiny_tokenizer, fingerprint, in_flight=3)
    n_rows = [shapes["input_ids"][0] for _, shapes in transport.calls]
    assert sorted(n_rows) == [1] * 32 + [4] * 16
    assert result.matches
    assert result.mean_cosine > 0.99999


def test_the_worst_probe_of_any_grouping_decides() -> None:
    assert comparison(alone=[1, 1, 1], beside=[1, 0.99951, 1]).matches
    assert not comparison(alone=[1, 1, 1], beside=[1, 0.99949, 1]).matches
    assert not comparison(alone=[1, 1, float("nan")], beside=[1, 1, 1]).matches


def test_a_diagnosis_names_the_probe_and_says_no_more_than_vectors_tell() -> None:
    only_together = comparison(alone=[1, 1, 1], beside=[1, 0.98, 1]).diagnosis()
    assert "on 'longer', beside" in only_together
    assert "depend on their batch" in only_together
    assert "only probes of 200 tokens or more moved" in comparison(alone=[1, 1, 0.9]).diagnosis()
    assert "another precision" in comparison(alone=[0.999, 0.998, 0.997]).diagnosis()
    assert "another model, another pooling" in comparison(alone=[0.2, 0.3, 0.1]).diagnosis()
