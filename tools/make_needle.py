#!/usr/bin/env python3
"""Makes a model that finds needles: python tools/make_needle.py OUT [--context N]

Two layers of attention whose weights are computed, not trained: the model answers "x y" with the token that followed "x y" where it
stood before. Layer 1 looks one and two tokens back, by RoPE alone (previous-token heads); layer 2 looks for the place whose two
tokens before are the last two here (an induction head; Olsson et al. 2022, arXiv:2209.11895), and copies its token. So positions,
blocks, prefixes and restores of keys and values can be tested at any length; nothing is known of language. Needs no tokenizer:
`sluice logits OUT --tokens ... --greedy N`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

VOCAB, HIDDEN, HEAD_DIM, N_HEADS, N_KV_HEADS = 256, 256, 128, 4, 2
CODE, PAIRS = 20, HEAD_DIM // 2
ROPE_THETA, EPS, LAYERS = 1e9, 1e-6, 2
# Where parts of the residual begin: a constant, this token's code, those of the two before it, the answer's.
CONST, HERE, BEFORE, TWO_BEFORE, ANSWER = 0, 32, 64, 96, 128
NEAR_PAIRS = 40  # that tell distances; the slowest ones, which turn little, carry codes
CONST_VALUE, MARGIN = 2.0, 45.0  # of scores, by which a wrong distance is lower
MATCH = 3.0  # of scores, for each code bit that agrees


def codes() -> np.ndarray:
    """256 words of 20 signs, of which two differ in 8 places or more: the extended Golay code [24, 12, 8], shortened."""
    squares = {i * i % 11 for i in range(11)}
    b = np.ones((12, 12), int)
    b[:11, :11] = [[(i + j) % 11 in squares for j in range(11)] for i in range(11)]
    b[11, 11] = 0
    generator = np.hstack([np.eye(12, dtype=int), b])
    words = np.array([[i >> bit & 1 for bit in range(12)] for i in range(4096)]) @ generator % 2
    return 1.0 - 2.0 * words[(words[:, :4] == 0).all(axis=1)][:, 4:]


def distance_weights(context: int, rounds: int = 400) -> tuple[np.ndarray, float]:
    """Weights of pairs, of sum 1, by which sum_i a_i cos(w_i n) is as low as may be for the worst n, by multiplicative weights
    against that n; and by how much it is below 1."""
    angles = np.outer(np.arange(1, context + 1), ROPE_THETA ** (-np.arange(NEAR_PAIRS) / PAIRS))
    gains = (1.0 - np.cos(angles)).astype(np.float32)
    log_weights, total = np.zeros(NEAR_PAIRS), np.zeros(NEAR_PAIRS)
    for _ in range(rounds):
        weights = np.exp(log_weights - log_weights.max())
        total += weights / weights.sum()
        log_weights += 0.15 * gains[(gains @ (weights / weights.sum()).astype(np.float32)).argmin()]
    weights = total / rounds
    return weights, float((gains @ weights.astype(np.float32)).min())


def layer(prefix: str, parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    shapes = {
        "self_attn.q_proj": (N_HEADS * HEAD_DIM, HIDDEN),
        "self_attn.k_proj": (N_KV_HEADS * HEAD_DIM, HIDDEN),
        "self_attn.v_proj": (N_KV_HEADS * HEAD_DIM, HIDDEN),
        "self_attn.o_proj": (HIDDEN, N_HEADS * HEAD_DIM),
        "mlp.gate_proj": (HIDDEN, HIDDEN),
        "mlp.up_proj": (HIDDEN, HIDDEN),
        "mlp.down_proj": (HIDDEN, HIDDEN),
    }
    tensors = {f"{prefix}.{name}.weight": parts.get(name, np.zeros(shape)) for name, shape in shapes.items()}
    for norm in ("input_layernorm", "post_attention_layernorm"):
        tensors[f"{prefix}.{norm}.weight"] = np.ones(HIDDEN)
    return tensors


def rms(squares: float) -> float:
    """What a norm divides by; weights make up for it."""
    return float(np.sqrt(squares / HIDDEN + EPS))


def looks_back(context: int) -> dict[str, np.ndarray]:
    weights, gain = distance_weights(context)
    alpha = np.sqrt(MARGIN / gain * weights * np.sqrt(HEAD_DIM)) * rms(CONST_VALUE**2 + CODE) / CONST_VALUE
    turns = ROPE_THETA ** (-np.arange(NEAR_PAIRS) / PAIRS)
    q, k = np.zeros((N_HEADS, HEAD_DIM, HIDDEN)), np.zeros((N_KV_HEADS, HEAD_DIM, HIDDEN))
    v, o = np.zeros((N_KV_HEADS, HEAD_DIM, HIDDEN)), np.zeros((HIDDEN, N_HEADS, HEAD_DIM))
    k[0, :NEAR_PAIRS, CONST] = alpha
    for head, (distance, to) in enumerate(((1, BEFORE), (2, TWO_BEFORE))):
        q[head, :NEAR_PAIRS, CONST] = alpha * np.cos(turns * distance)
        q[head, PAIRS : PAIRS + NEAR_PAIRS, CONST] = -alpha * np.sin(turns * distance)
        o[to : to + CODE, head, :CODE] = np.eye(CODE)
    v[0, :CODE, HERE : HERE + CODE] = np.eye(CODE) * rms(CONST_VALUE**2 + CODE)
    return attention(q, k, v, o)


def looks_for_the_same() -> dict[str, np.ndarray]:
    q, k = np.zeros((N_HEADS, HEAD_DIM, HIDDEN)), np.zeros((N_KV_HEADS, HEAD_DIM, HIDDEN))
    v, o = np.zeros((N_KV_HEADS, HEAD_DIM, HIDDEN)), np.zeros((HIDDEN, N_HEADS, HEAD_DIM))
    norm = rms(CONST_VALUE**2 + 3 * CODE)
    match = np.eye(CODE) * np.sqrt(MATCH * np.sqrt(HEAD_DIM)) * norm
    for half, (mine, theirs) in enumerate(((HERE, BEFORE), (BEFORE, TWO_BEFORE))):
        at = slice((half + 1) * PAIRS - CODE, (half + 1) * PAIRS)
        q[2, at, mine : mine + CODE] = match
        k[1, at, theirs : theirs + CODE] = match
    v[1, :CODE, HERE : HERE + CODE] = np.eye(CODE) * norm
    o[ANSWER : ANSWER + CODE, 2, :CODE] = np.eye(CODE)
    return attention(q, k, v, o)


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, o: np.ndarray) -> dict[str, np.ndarray]:
    rows = {"q": q.reshape(-1, HIDDEN), "k": k.reshape(-1, HIDDEN), "v": v.reshape(-1, HIDDEN), "o": o.reshape(HIDDEN, -1)}
    return {f"self_attn.{name}_proj": matrix for name, matrix in rows.items()}


def make(out: Path, context: int) -> None:
    words = codes()
    embedding, head = np.zeros((VOCAB, HIDDEN)), np.zeros((VOCAB, HIDDEN))
    embedding[:, CONST], embedding[:, HERE : HERE + CODE] = CONST_VALUE, words
    head[:, ANSWER : ANSWER + CODE] = words * rms(CONST_VALUE**2 + 4 * CODE)
    tensors = {"model.embed_tokens.weight": embedding, "lm_head.weight": head, "model.norm.weight": np.ones(HIDDEN)}
    tensors |= layer("model.layers.0", looks_back(context)) | layer("model.layers.1", looks_for_the_same())
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.astype(np.float16) for name, tensor in tensors.items()}, out / "model.safetensors")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": N_HEADS,
        "num_key_value_heads": N_KV_HEADS,
        "head_dim": HEAD_DIM,
        "vocab_size": VOCAB,
        "rope_theta": ROPE_THETA,
        "rms_norm_eps": EPS,
        "max_position_embeddings": context,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
    }
    (out / "config.json").write_text(json.dumps(config, indent=1))


def haystack(n_tokens: int, depths: list[float], seed: int = 0) -> tuple[list[int], list[list[int]]]:
    """Tokens below 200, with a needle at each depth: two tokens that mark it and four that follow. Returns the text, which ends
    after the last one's answer has been asked for, and needles."""
    random = np.random.default_rng(seed)
    text = random.integers(0, 200, n_tokens - 2).tolist()
    needles = [[200 + 6 * i + k for k in range(6)] for i in range(len(depths))]
    for depth, needle in zip(depths, needles, strict=True):
        at = round(depth * (n_tokens - 2 - len(needle)))
        text[at : at + len(needle)] = needle
    return text, needles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--context", type=int, default=131072, help="the longest text (default: 131072)")
    make(parser.parse_args().out, parser.parse_args().context)


if __name__ == "__main__":
    main()
