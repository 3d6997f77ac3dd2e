"""The fake of the seam to Triton passes the suite that a live Triton passes."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from longtail_client.contract import GENERATOR, TEXT_ENCODER, check_config
from longtail_client.encoder import padded
from longtail_client.errors import ContractMismatch, ModelUnavailable
from longtail_client.testing import FAKE_VERSION, FakeTransport, TransportSuite
from longtail_client.transport import Transport
from longtail_client.triton_transport import TritonTransport


class TestTransportOnTheFake(TransportSuite):
    @pytest.fixture
    def transport(self) -> Transport:
        return FakeTransport()


@pytest.mark.parametrize("spec", [TEXT_ENCODER, GENERATOR])
async def test_the_fake_serves_both_models_as_the_contract_says(spec) -> None:
    check_config(spec, await FakeTransport().model_config(spec.name, FAKE_VERSION, timeout_s=1.0))


async def test_the_fakes_vectors_know_only_their_own_unpadded_row() -> None:
    fake = FakeTransport()
    alone = padded([[5, 6, 7]])
    beside = padded([[9] * 40, [5, 6, 7]])

    async def vectors(rows) -> np.ndarray:
        inputs = dict(zip(("input_ids", "attention_mask"), rows, strict=True))
        return (await fake.infer("text_encoder", FAKE_VERSION, inputs, timeout_s=1.0))["embedding"]

    np.testing.assert_array_equal((await vectors(alone))[0], (await vectors(beside))[1])


async def test_a_server_that_is_not_there_is_unavailable_and_named(free_port: int) -> None:
    transport = TritonTransport(f"127.0.0.1:{free_port}")
    try:
        with pytest.raises(ModelUnavailable, match=rf"text_encoder version 1 at 127\.0\.0\.1:{free_port}"):
            await transport.model_config("text_encoder", "1", timeout_s=5.0)
    finally:
        await transport.close()


@pytest.mark.parametrize("name", [tensor.name for tensor in GENERATOR.inputs])
async def test_a_refusal_inside_a_stream_is_a_mismatch_whichever_input_it_names(name: str) -> None:
    transport = TritonTransport("127.0.0.1:1")
    refused = InferenceServerException(msg=f"{name}: expected something else")
    assert isinstance(transport._translated(refused, "generator", "1", 1.0), ContractMismatch)
    broken = InferenceServerException(msg="the engine failed")
    assert isinstance(transport._translated(broken, "generator", "1", 1.0), ModelUnavailable)
    await transport.close()
