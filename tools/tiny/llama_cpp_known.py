"""Where llama.cpp computes something else than the published model, or refuses a tiny file, and why. Lines are of its version 0.5.0."""

_GELU = "its GELU is a table of float16"
_TANH = "its GELU is the tanh form, in a table of float16"
_PHIMOE = "it takes root-mean-square norms for layer norms and plain shares for SparseMixer (src/models/phi3.cpp)"
_NO_EXPERTS = "it loads no Llama 4 without experts"
_QWEN2VL = "it reads no epsilon of norms, and takes 0 (src/models/qwen2vl.cpp)"
KNOWN: dict[str, str] = {
    "lfm2_moe-gguf": "it has no key for routed_scaling_factor",
    "kimi_linear-gguf": "experts of other groups are minus infinity to it, not 0",
    "gemma-gguf": _GELU,
    "gemma2-gguf": _GELU,
    "gemma3_text-exact-gguf": _GELU,
    "gemma4_text-gguf": f"{_GELU}, and there are many",
    "gemma4_text-moe-gguf": f"{_GELU}, and there are many",
    "gemma-converted": _GELU,
    "gemma2-converted": _GELU,
    "gemma3n-converted": "its deviation of sparse gates divides by one less, as no other's does",
    "spark2_5-converted": _GELU,
    "starcoder2-converted": _TANH,
    "gpt2-converted": _GELU,
    "gpt_bigcode-converted": _TANH,
    "gpt_neox-converted": _TANH,
    "phi-converted": _GELU,
    "phi-gguf": _GELU,
    "nemotron_h-gguf": "it knows no dense layers beside experts",
    "nemotron_h-converted": "it knows no dense layers beside experts",
    "deepseek_v2-gguf": "it knows full queries of 27 layers only",
    "kimi_vl-converted": "it knows full queries of 27 layers only",
    "glm_moe_dsa-gguf": "it turns indexer heads of a multiple of 64 only (Hadamard); the converted file has such",
    "gemma3n-gguf": "it knows 256 inputs of each layer only",
    "plamo-converted": "its converter wants PLaMo 13B's own sizes",
    "stablelm-12b-converted": "its converter loses norms of queries (a return within a generator, conversion/stablelm.py)",
    "qwen2_vl-gguf": _QWEN2VL,
    "qwen2_vl-converted": _QWEN2VL,
    "mistral4-gguf": "its converter leaves out how queries grow, here from the 16th token on",
    "phimoe-gguf": _PHIMOE,
    "phimoe-converted": _PHIMOE,
    "nemotron-nas-gguf": "it leaves out attention where no feed-forward part follows, which no published model has",
    "minimax_m3_vl-gguf": "it chooses blocks with flash attention alone, which has a dense layer's keys and values in float16 (src/llama-graph.cpp)",
    "plamo2-converted": "it does not end",
    "llama4_text-converted": _NO_EXPERTS,
    "llama4_text-nope-converted": _NO_EXPERTS,
}
