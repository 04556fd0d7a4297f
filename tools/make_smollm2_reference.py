#!/usr/bin/env python3
"""Records what the references make of chats with SmolLM2-135M-Instruct (tools/fetch_model.py): tokens of the prompt and of the answer, and texts' vectors.

    tools/make_smollm2_reference.py MODEL.gguf CHATS.json VECTORS.json

The template is rendered by transformers' Jinja, the text cut by `tokenizers`, the answer computed by mlx-lm in float32 from the
dequantized weights.
"""

import argparse
import json
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.models.llama import Model, ModelArgs
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.utils.chat_template_utils import _compile_jinja_template

N_GREEDY = 24
CONTROL = 3  # of tokenizer.ggml.token_type
N_HEADS, N_KV_HEADS = 9, 3

# Written before the model saw them, and kept whatever came out.
CHATS = {
    "capital": [{"role": "user", "content": "What is the capital of France?"}],
    "sky": [{"role": "user", "content": "Why is the sky blue?"}],
    "system": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "What colour is snow?"}],
    "turns": [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello, Ada!"},
        {"role": "user", "content": "What's 12 + 30, and what is my name?"},
    ],
}

TEXTS = ["Paris is the capital of France.", "The capital of France is Paris, a city on the Seine.", "To bake bread, mix flour, water, salt and yeast."]

NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def unpermuted(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """GGUF interleaves the two halves of a head's rows, [n_heads, dim / 2, 2], for another way to write RoPE."""
    rows = weight.reshape(n_heads, -1, 2, weight.shape[1])
    return rows.swapaxes(1, 2).reshape(weight.shape)


def load(reader: gguf.GGUFReader) -> Model:
    def value(key: str):
        return reader.fields[f"llama.{key}"].contents()

    model = Model(
        ModelArgs(
            model_type="llama",
            hidden_size=value("embedding_length"),
            num_hidden_layers=value("block_count"),
            intermediate_size=value("feed_forward_length"),
            num_attention_heads=N_HEADS,
            num_key_value_heads=N_KV_HEADS,
            rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
            vocab_size=value("vocab_size"),
            rope_theta=value("rope.freq_base"),
            tie_word_embeddings=True,
        )
    )
    weights = []
    for tensor in reader.tensors:
        data = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        name = TOP.get(tensor.name)
        if name is None:
            _, layer, part, _ = tensor.name.split(".")
            name = f"model.layers.{layer}.{NAMES[part]}.weight"
            if part in ("attn_q", "attn_k"):
                data = unpermuted(data, N_HEADS if part == "attn_q" else N_KV_HEADS)
        weights.append((name, mx.array(data)))
    model.load_weights(weights)
    return model


def tokenizer_of(reader: gguf.GGUFReader) -> Tokenizer:
    """As SmolLM2's tokenizer.json: byte-level BPE over single digits."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t, kind in zip(tokens, types) if kind == CONTROL])
    return tokenizer


def greedy(model: Model, tokens: list[int], end: int) -> list[list]:
    """Returns [token, its logit, the second best, its logit] of each step, to the end token or N_GREEDY."""
    cache = make_prompt_cache(model)
    logits = np.array(model(mx.array([tokens]), cache=cache)[0, -1])
    steps = []
    while len(steps) < N_GREEDY:
        best, second = (int(i) for i in np.argsort(-logits, kind="stable")[:2])
        steps.append([best, round(float(logits[best]), 4), second, round(float(logits[second]), 4)])
        if best == end:
            break
        logits = np.array(model(mx.array([[best]]), cache=cache)[0, -1])
    return steps


def vectors(model: Model, tokens: list[int]) -> dict[str, list[float]]:
    """Of the states behind the final norm, by how they are pooled, each of length 1."""
    hidden = np.array(model.model(mx.array([tokens]))[0]).astype(np.float64)
    pooled = {"mean": hidden.mean(axis=0), "last": hidden[-1]}
    return {how: [round(x, 6) for x in (v / np.linalg.norm(v)).tolist()] for how, v in pooled.items()}


def as_text(chats: dict[str, dict]) -> str:
    """JSON with a line for each list: a hundred for a chat would hide what changed."""
    entries = []
    for name, chat in chats.items():
        fields = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in chat.items())
        entries.append(f" {json.dumps(name)}: {{\n  {fields}\n }}")
    return "{\n" + ",\n".join(entries) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("chats", type=Path)
    parser.add_argument("vectors", type=Path)
    args = parser.parse_args()
    mx.set_default_device(mx.cpu)
    reader = gguf.GGUFReader(args.model)
    model, tokenizer = load(reader), tokenizer_of(reader)
    template = _compile_jinja_template(reader.fields["tokenizer.chat_template"].contents())
    end = reader.fields["tokenizer.ggml.eos_token_id"].contents()
    chats = {}
    for name, messages in CHATS.items():
        prompt = template.render(messages=messages, add_generation_prompt=True)
        tokens = tokenizer.encode(prompt, add_special_tokens=False).ids
        steps = greedy(model, tokens, end)
        text = tokenizer.decode([step[0] for step in steps])
        print(f"{name}: {text!r}")
        chats[name] = {"messages": messages, "prompt": prompt, "tokens": tokens, "text": text, "steps": steps}
    args.chats.write_text(as_text(chats))
    of_texts = {}
    for text in TEXTS:
        tokens = tokenizer.encode(text, add_special_tokens=False).ids
        of_texts[text] = {"tokens": tokens, **vectors(model, tokens)}
    args.vectors.write_text(as_text(of_texts))


if __name__ == "__main__":
    main()
