"""A 2-layer Llama with random weights and a tokenizer of words: a real causal language model, made tiny."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.conftest import WORDS
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END = "<|im_end|>"
CONTEXT_TOKENS = 2048
PUNCTUATION = "The capital of France is. One, two, three, four, Once upon a time there was; hello: world! - '?"


def write_tiny_llama(folder: Path) -> Path:
    """Write a checkpoint as transformers reads it; weights wide enough that texts do not repeat one word."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [f" {word}" for word in WORDS.split()] * 5 + [PUNCTUATION] * 5
    tokenizer.train_from_iterator(corpus, BpeTrainer(vocab_size=300, special_tokens=[END], show_progress=False))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        initializer_range=0.6,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=0, bos_token_id=0, pad_token_id=0)
    model.save_pretrained(folder)
    return folder
