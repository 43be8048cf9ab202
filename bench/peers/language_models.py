"""Hugging Face's models of tokens, with the sizes that trainer/models has.

Imported by PyTorch's side of `lockstep bench step`, beside this file, and by the scripts of tests/reference. Models are made from their configurations: nothing is downloaded.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from transformers import BertConfig, BertForPreTraining, GPT2Config, GPT2LMHeadModel  # noqa: E402


def gpt2(vocabulary, **sizes):
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, use_cache=False, attn_implementation="sdpa", **sizes))


def bert(vocabulary, **sizes):
    return BertForPreTraining(BertConfig(vocab_size=vocabulary, attn_implementation="sdpa", **sizes))


def create_model(name, vocabulary):
    """A model in training mode, drawn from the default generator; dropout is 0.1 by default in all of them."""
    if name == "gpt2":
        model = gpt2(vocabulary)
    elif name == "gpt2-mini":
        model = gpt2(vocabulary, n_layer=4, n_head=4, n_embd=128, n_positions=256)
    elif name == "bert-base":
        model = bert(vocabulary)
    elif name == "bert-mini":
        model = bert(vocabulary, num_hidden_layers=4, num_attention_heads=4, hidden_size=256, intermediate_size=1024)
    else:
        raise ValueError(f"unknown model {name}")
    return model.train()
