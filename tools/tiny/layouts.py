"""Rewrites mlx-lm's tensor names into the layout a family is published in: the inverse of its `sanitize`.

Only what differs is here: experts that mlx-lm stacks are separate tensors in Mixtral, Qwen and OLMoE checkpoints;
gpt-oss keeps gate and up rows interleaved, in MXFP4 blocks of 16 bytes with one scale byte each.
"""

import re

import mlx.core as mx

Weights = dict[str, mx.array]

_EXPERT_NAMES = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
_UNGATED_NAMES = {"fc1": "up_proj", "fc2": "down_proj"}


def unstack_experts(weights: Weights) -> Weights:
    """`P.switch_mlp.gate_proj.weight` [E, out, in] becomes `P.experts.N.gate_proj.weight` [out, in] for each N."""
    raw: Weights = {}
    for name, value in weights.items():
        found = re.fullmatch(r"(.*)\.switch_mlp\.(\w+)\.weight", name)
        if not found:
            raw[name] = value
            continue
        prefix, projection = found.groups()
        if prefix.endswith("block_sparse_moe"):
            projection = _EXPERT_NAMES[projection]
        projection = _UNGATED_NAMES.get(projection, projection)
        for expert in range(value.shape[0]):
            raw[f"{prefix}.experts.{expert}.{projection}.weight"] = value[expert]
    return raw


def _interleave_rows(gate: mx.array, up: mx.array) -> mx.array:
    """gate, up: [E, rows, ...]; returns [E, 2 * rows, ...] with row 2i from gate and 2i + 1 from up."""
    both = mx.stack([gate, up], axis=2)
    return both.reshape(gate.shape[0], -1, *gate.shape[2:])


def _as_blocks(packed: mx.array) -> mx.array:
    """packed: uint32 [E, rows, in / 8]; returns uint8 [E, rows, in / 32, 16], two weights a byte, low nibble first."""
    experts, rows, _ = packed.shape
    return packed.view(mx.uint8).reshape(experts, rows, -1, 16)


def _gpt_oss_blocks(weights: Weights) -> Weights:
    """Experts quantized by mlx-lm (mode mxfp4) become `_blocks`, `_scales` and `_bias` tensors."""
    raw = {k: v for k, v in weights.items() if ".mlp.experts." not in k}
    for prefix in sorted({k.split(".experts.")[0] + ".experts" for k in weights if ".mlp.experts." in k}):
        gate, up, down = (f"{prefix}.{p}_proj" for p in ("gate", "up", "down"))
        for part, suffix, convert in (
            ("weight", "_blocks", _as_blocks),
            ("scales", "_scales", lambda a: a),
            ("bias", "_bias", lambda a: a),
        ):
            fused = _interleave_rows(weights[f"{gate}.{part}"], weights[f"{up}.{part}"])
            raw[f"{prefix}.gate_up_proj{suffix}"] = convert(fused)
            raw[f"{prefix}.down_proj{suffix}"] = convert(weights[f"{down}.{part}"])
    return raw


_QWEN_HYBRIDS = ("qwen3_5", "qwen3_5_moe", "qwen3_next")
_QWEN_SHIFTED = ("input_layernorm", "post_attention_layernorm", "model.norm", "q_norm", "k_norm")


def _stack_gate_and_up(weights: Weights) -> Weights:
    """`P.switch_mlp.*` becomes `P.experts.gate_up_proj` [E, 2 * inner, D], gate first, and `P.experts.down_proj`."""
    raw = {k: v for k, v in weights.items() if ".switch_mlp." not in k}
    for name in weights:
        if name.endswith(".switch_mlp.down_proj.weight"):
            prefix = name.split(".switch_mlp.")[0]
            both = [weights[f"{prefix}.switch_mlp.{p}_proj.weight"] for p in ("gate", "up")]
            raw[f"{prefix}.experts.gate_up_proj"] = mx.concatenate(both, axis=1)
            raw[f"{prefix}.experts.down_proj"] = weights[name]
    return raw


def _granite_experts(weights: Weights) -> Weights:
    """The same as `input_linear` and `output_linear`."""
    names = {".experts.gate_up_proj": ".input_linear.weight", ".experts.down_proj": ".output_linear.weight"}
    raw: Weights = {}
    for name, value in _stack_gate_and_up(weights).items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        raw[name] = value
    return raw


def _step_layout(weights: Weights) -> Weights:
    """Norms less 1, experts stacked under `moe`."""
    names = {".mlp.switch_mlp.": ".moe.", ".mlp.gate.gate.": ".moe.gate.", ".mlp.gate.router_bias": ".moe.router_bias",
             ".mlp.share_expert.": ".share_expert."}  # fmt: skip
    raw: Weights = {}
    for name, value in weights.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        raw[name] = value - 1.0 if name.endswith("norm.weight") else value
    return raw


def _qwen_hybrid(weights: Weights, model_type: str) -> Weights:
    """Norms less 1 and convolutions [C, 1, taps]; Qwen3.5 within a model that also sees."""
    raw: Weights = {}
    for name, value in (weights if model_type == "qwen3_next" else _stack_gate_and_up(weights)).items():
        if "conv1d.weight" in name:
            value = value.swapaxes(1, 2)
        if name.endswith(tuple(f"{norm}.weight" for norm in _QWEN_SHIFTED)):
            value = value - 1.0
        raw[name.replace("language_model.model.", "model.language_model.").replace("language_model.lm_", "lm_")] = value
    if model_type != "qwen3_next":
        raw["mtp.fc.weight"] = mx.zeros((4, 4))
        raw["model.visual.patch_embed.proj.weight"] = mx.zeros((4, 4))
        return raw
    return unstack_experts(raw)


def _seeing_qwen(weights: Weights, model_type: str) -> Weights:
    """The text of a model that also sees; experts [E, in, out], gate beside up."""
    text, eyes = ("model.", "") if model_type == "qwen2_vl" else ("model.language_model.", "model.")
    raw: Weights = {}
    for name, value in _stack_gate_and_up(weights).items():
        name = name.replace("language_model.model.", text).replace("language_model.lm_", "lm_")
        raw[name] = value.swapaxes(1, 2) if ".experts." in name else value
    raw[f"{eyes}visual.patch_embed.proj.weight"] = mx.zeros((4, 4))
    return raw


def _convolutions(weights: Weights) -> Weights:
    """[C, 1, taps] instead of mlx-lm's [C, taps, 1]."""
    ends = ("conv1d.weight", "conv.conv.weight", "conv_1d.weight")
    return {k: v.swapaxes(1, 2) if k.endswith(ends) else v for k, v in weights.items()}


def _granite_hybrid(weights: Weights) -> Weights:
    """Gate and up in one, of experts [E, 2 * inner, D], of the shared expert and of dense blocks as shared_mlp."""
    raw = {k: v for k, v in weights.items() if ".switch_mlp." not in k and ".mlp." not in k}
    for name in weights:
        for experts, block, axis in ((".switch_mlp.", ".", 1), (".mlp.", ".shared_mlp.", 0)):
            if name.endswith(f"{experts}down_proj.weight"):
                prefix = name.split(experts)[0]
                both = [weights[f"{prefix}{experts}{p}_proj.weight"] for p in ("gate", "up")]
                raw[f"{prefix}{block}input_linear.weight"] = mx.concatenate(both, axis=axis)
                raw[f"{prefix}{block}output_linear.weight"] = weights[name]
    return raw


def _falcon_h1(weights: Weights, config: dict) -> Weights:
    """Without the factors that the reference expects in its weights: of keys and values too, which its conversion forgets."""
    inner, groups = config["mamba_d_ssm"], config["mamba_n_groups"] * config["mamba_d_state"]
    sizes = (inner, inner, groups, groups, config["mamba_n_heads"])
    parts = [mx.full((size, 1), m) for size, m in zip(sizes, config["ssm_multipliers"], strict=True)]
    attention = config["attention_in_multiplier"]
    factors = {
        "embed_tokens": config["embedding_multiplier"],
        "lm_head": config["lm_head_multiplier"],
        "q_proj": attention,
        "k_proj": attention * config["key_multiplier"],
        "v_proj": attention,
        ".o_proj": config["attention_out_multiplier"],
        "out_proj": config["ssm_out_multiplier"],
        "gate_proj": config["mlp_multipliers"][0],
        "down_proj": config["mlp_multipliers"][1],
        "in_proj": config["ssm_in_multiplier"] * mx.concatenate(parts),
    }
    ends = {f"{name}.weight": factor for name, factor in factors.items()}
    found = {k: next((f for end, f in ends.items() if k.endswith(end)), 1.0) for k in weights}
    return {k: v / found[k] for k, v in weights.items()}


def _kimi_linear(weights: Weights) -> Weights:
    names = {".mlp.gate.": ".block_sparse_moe.gate.", ".mlp.e_score": ".block_sparse_moe.gate.e_score",
             ".mlp.shared_experts.": ".block_sparse_moe.shared_experts.", ".mlp.switch_mlp.": ".block_sparse_moe.switch_mlp.",
             "_conv.conv.": "_conv1d."}  # fmt: skip
    raw = {}
    for name, value in _convolutions(weights).items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        raw[name] = value
    return raw


def _phixtral(weights: Weights) -> Weights:
    names = {".experts.": ".mlp.", ".up_proj.": ".fc1.", ".down_proj.": ".fc2."}
    raw = {}
    for name, value in unstack_experts(weights).items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        raw[name] = value
    return raw


def _hunyuan_dense(weights: Weights, config: dict) -> Weights:
    """Queries, key and value of each key head one after the other; up above gate."""
    raw = {k: v for k, v in weights.items() if not re.search(r"\.(q|k|v|gate|up)_proj\.weight$", k)}
    n_kv = config["num_key_value_heads"]
    for name in weights:
        if name.endswith(".q_proj.weight"):
            heads = [weights[name.replace(".q_proj.", f".{p}_proj.")] for p in "qkv"]
            width = heads[0].shape[1]
            groups = [rows.reshape(n_kv, -1, width) for rows in heads]
            raw[name.replace(".q_proj.", ".qkv_proj.")] = mx.concatenate(groups, axis=1).reshape(-1, width)
        if name.endswith(".up_proj.weight"):
            both = [weights[name], weights[name.replace(".up_proj.", ".gate_proj.")]]
            raw[name.replace(".up_proj.", ".gate_and_up_proj.")] = mx.concatenate(both)
    return raw


def _gpt2(weights: Weights) -> Weights:
    """Matrices of layers [in, out]; a mask, which every loader must ignore."""
    raw: Weights = {"h.0.attn.bias": mx.ones((1, 1, 4, 4))}
    for name, value in weights.items():
        is_matrix = ".h." in name and value.ndim == 2
        raw[name.removeprefix("model.")] = value.T if is_matrix else value
    return raw


def _dbrx(weights: Weights) -> Weights:
    """All experts of a layer below each other, w2 [in, out]."""
    raw = {k: v for k, v in weights.items() if ".experts." not in k}
    for name in weights:
        if found := re.fullmatch(r"(.*\.experts)\.0\.(w1|v1|w2)\.weight", name):
            prefix, matrix = found.groups()
            n = sum(bool(re.fullmatch(rf"{re.escape(prefix)}\.\d+\.w1\.weight", k)) for k in weights)
            experts = [weights[f"{prefix}.{i}.{matrix}.weight"] for i in range(n)]
            raw[f"{prefix}.mlp.{matrix}"] = mx.concatenate([e.T for e in experts] if matrix == "w2" else experts)
    return raw


def _llama4(weights: Weights) -> Weights:
    """Experts [E, in, out], gate beside up."""
    raw = {k: v for k, v in weights.items() if ".experts." not in k}
    for name in weights:
        if name.endswith(".experts.down_proj.weight"):
            prefix = name.removesuffix(".down_proj.weight")
            both = [weights[f"{prefix}.{p}_proj.weight"].swapaxes(1, 2) for p in ("gate", "up")]
            raw[f"{prefix}.gate_up_proj"] = mx.concatenate(both, axis=2)
            raw[f"{prefix}.down_proj"] = weights[name].swapaxes(1, 2)
    return raw


def _muse_spark(weights: Weights, config: dict) -> Weights:
    """Norms in layers less 1, trained gates, q, k, v and the gate apart, q's and k's rows in halves; gate above up."""
    shifted = ("input_layernorm", "feedforward_layernorm", "_expert_norm")
    gates = {".add_attn_": ".post_attention_residual_gate.gate", ".add_ffn_": ".post_feedforward_residual_gate.gate"}
    head_dim = config["head_dim"]
    q_rows, kv_rows = (config[f"num_{heads}_heads"] * head_dim for heads in ("attention", "key_value"))

    def in_halves(rows: mx.array) -> mx.array:
        return rows.reshape(-1, head_dim // 2, 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)

    raw: Weights = {}
    stacks = {re.sub(r"\.experts\.(\w+_proj\.)", r".switch_mlp.\1", k): v for k, v in weights.items()}
    for name, value in _stack_gate_and_up(stacks).items():
        if name.endswith("qkvg_proj.weight"):
            parts = mx.split(value, [q_rows, q_rows + kv_rows, q_rows + 2 * kv_rows])
            parts[:2] = [in_halves(part) for part in parts[:2]]
            raw |= {name.replace("qkvg", p): part for p, part in zip(("q", "k", "v", "gate"), parts, strict=True)}
        elif name.endswith("_beta"):
            for ours, theirs in gates.items():
                if ours in name:
                    raw[name.split(ours)[0] + theirs] = 0.3 * (mx.log(value) - mx.log1p(-value))
        elif not name.endswith("_alpha"):
            raw[name] = value - 1.0 if name.removesuffix(".weight").endswith(shifted) else value
    raw["model.audio_tower.patch_embed.weight"] = mx.zeros((4, 4))
    return raw


_DEEPSEEK_V41 = {
    "model.embed_tokens.": "embed.", "lm_head.": "head.", ".self_attn.": ".attn.", ".mlp.": ".ffn.",
    ".input_layernorm.": ".attn_norm.", ".post_attention_layernorm.": ".ffn_norm.", ".attn_hc.": ".hc_attn_",
    ".ffn_hc.": ".hc_ffn_", ".sinks": ".attn_sink", ".q_a_proj.": ".wq_a.", ".q_b_proj.": ".wq_b.",
    ".compressor.gate_proj.": ".compressor.wgate.", ".kv_proj.": ".wkv.", ".o_a_proj.": ".wo_a.", ".o_b_proj.": ".wo_b.",
    ".q_a_norm.": ".q_norm.", ".compressor.kv_norm.": ".compressor.norm.", ".indexer.k_proj.": ".indexer.wk.",
    ".gate.e_score_correction_bias": ".gate.bias", ".experts.switch_mlp.": ".switch_mlp.",
}  # fmt: skip


def _deepseek_v41(weights: Weights) -> Weights:
    """Names of its own without "model.", experts apart, and matrices of groups of heads below each other."""
    raw: Weights = {}
    for name, value in weights.items():
        for ours, theirs in _DEEPSEEK_V41.items():
            name = name.replace(ours, theirs)
        name = name.removeprefix("model.")
        raw[name] = value.reshape(-1, value.shape[-1]) if ".wo_a." in name else value
    raw = unstack_experts(raw)
    for ours, theirs in _EXPERT_NAMES.items():
        raw = {re.sub(rf"(\.ffn\..*)\.{ours}\.", rf"\1.{theirs}.", name): value for name, value in raw.items()}
    raw["layers.0.ffn.gate.bias_vl"] = mx.zeros(4)
    raw["mtp.0.head.weight"] = raw["vision.patch_embed.weight"] = mx.zeros((4, 4))
    return raw


_TRANSPOSED = {"gpt2": _gpt2, "dbrx": _dbrx, "llama4": _llama4}


def to_hugging_face(weights: Weights, config: dict) -> Weights:
    """The raw layout of the family; adds the tensors that some checkpoints carry and every loader must ignore."""
    if config["model_type"] == "gpt_oss":
        return _gpt_oss_blocks(weights)
    if config["model_type"] in _QWEN_HYBRIDS:
        return _qwen_hybrid(weights, config["model_type"])
    if config["model_type"] in ("qwen2_vl", "qwen3_vl", "qwen3_vl_moe"):
        return _seeing_qwen(weights, config["model_type"])
    if config["model_type"] == "step3p5":
        return _step_layout(weights)
    if config["model_type"] in _TRANSPOSED:
        return _TRANSPOSED[config["model_type"]](weights)
    if config["model_type"] == "muse_spark":
        return _muse_spark(weights, config)
    if config["model_type"] == "kimi_k3":
        return weights
    if config["model_type"] == "deepseek_v41":
        return _deepseek_v41(weights)
    if config["model_type"] == "nemotron-nas":
        return {re.sub(r"(attn|mlp)\.linear\.", r"\1.linear_\1.", k): v for k, v in weights.items()}
    if config["model_type"] == "phixtral":
        return _phixtral(weights)
    if config["model_type"] == "hunyuan" and config["num_experts"] == 1:
        return _hunyuan_dense(weights, config)
    if config["model_type"] == "granitemoe":
        return _granite_experts(weights)
    if config["model_type"] == "mistral4":
        return _stack_gate_and_up(weights)
    if config["model_type"] == "granitemoehybrid":
        return _granite_hybrid(_convolutions(weights))
    if config["model_type"] == "falcon_h1":
        is_raw = config["attention_in_multiplier"] != 1
        return _falcon_h1(_convolutions(weights), config) if is_raw else weights
    raw = unstack_experts(_kimi_linear(weights) if config["model_type"] == "kimi_linear" else _convolutions(weights))
    if "text_config" in config:
        inner = "model." if config["model_type"] == "gemma3n" else ""
        raw[f"{inner}vision_tower.patch_embed.weight"] = mx.zeros((4, 4))
    if config["model_type"] == "llama":
        dims = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        raw["model.layers.0.self_attn.rotary_emb.inv_freq"] = mx.ones(dims // 2)
        if config["tie_word_embeddings"]:
            raw["lm_head.weight"] = mx.zeros((config["vocab_size"], config["hidden_size"]))
    return raw
