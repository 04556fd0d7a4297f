"""What is measured against llama.cpp, and what each row must reach.

A row is one workload on a model of Sluice's and on one of llama.cpp's: the same file, or files of the same shape and bits.
"""

from dataclasses import dataclass
from typing import Literal

from llama_cpp import Limit, Work
from measure import Sample

# Fetched by tools/fetch_model.py; all others are made by tools/make_synthetic.py.
GEMMA, CODER, SMOLLM2 = "gemma-3-270m-q4_k_m", "qwen2.5-coder-1.5b-instruct", "smollm2-135m-instruct"
FETCHED = (GEMMA, CODER, SMOLLM2)
DENSE, DENSE_Q4_0 = "qwen3-synthetic-1.7b", "qwen3-synthetic-1.7b-q4_0"
DENSE_Q4_K, DENSE_Q6_K = "qwen3-synthetic-1.7b-q4_k", "qwen3-synthetic-1.7b-q6_k"
MOE, MOE_Q4_0 = "qwen3-synthetic-moe", "qwen3-synthetic-moe-q4_0"
# Other tokens, other experts: what a cache of experts must be measured on (tools/make_synthetic.py).
MOE_RANDOM, MOE_RANDOM_Q4_0 = "qwen3-synthetic-moe-random", "qwen3-synthetic-moe-random-q4_0"
MOE_REUSE = "qwen3-synthetic-moe-reuse"
# What Sluice runs and what llama.cpp runs.
Pair = tuple[str, str]
PAIRS: dict[str, Pair] = {
    "1.7b": (DENSE, DENSE_Q4_0),
    "moe": (MOE, MOE_Q4_0),
    "gemma": (GEMMA, GEMMA),
    "coder-1.5b": (CODER, CODER),
    "smollm2": (SMOLLM2, SMOLLM2),
    "1.7b-q4_0": (DENSE_Q4_0, DENSE_Q4_0),
    "1.7b-q4_k": (DENSE_Q4_K, DENSE_Q4_K),
    "1.7b-q6_k": (DENSE_Q6_K, DENSE_Q6_K),
}
LIMITED_PAIRS: dict[str, Pair] = {
    "moe-random": (MOE_RANDOM, MOE_RANDOM_Q4_0),
    # llama-bench decodes random tokens, whose experts do not come back whatever the model.
    "moe-reuse": (MOE_REUSE, MOE_RANDOM_Q4_0),
}
# Hybrids, latent attention, shared keys and values: one file for both (tools/synthetic/families.py).
FAMILIES = ("qwen3.5-moe", "nemotron-h", "glm-4.7-flash", "lfm2", "gemma4")
FAMILY_PAIRS: dict[str, Pair] = {family: (f"{family}-synthetic", f"{family}-synthetic") for family in FAMILIES}

Metric = Literal["decode_tps", "prefill_tps", "wall_ms", "peak_mb"]
UNITS = {"decode_tps": "tok/s", "prefill_tps": "tok/s", "wall_ms": "ms", "peak_mb": "MB"}

DECODE = Work(generate=64)
PREFILL = Work(prompt=512)
DECODE_AT_8K = Work(generate=32, depth=8192)
BATCH = Work(prompt=64, generate=64, batch=8)
ALONE = Work(prompt=64, generate=64)
START = Work(prompt=8, generate=1, warm_up=False)
WHOLE = Work(prompt=512, generate=64)
COLD_PREFILL = Work(prompt=512, warm_up=False)
MB = 10**6
FEW = 128  # KB: a layer's experts are here and there in the file


@dataclass(frozen=True)
class Row:
    """bar: of Sluice's figure over llama.cpp's; for speeds the least, for times and memory the most; 0 for none.

    memory_share: the least part of the probed memory bandwidth that reading the weights must reach, 0 for none.
    alone: the least ratio to Sluice's speed with one sequence, 0 for none. repack: llama.cpp may lay out weights anew in memory.
    limit: of the memory cgroup that both run in, and Sluice's --ram; None for none. Then the page cache is emptied before each.
    bound: the least part of what disk and memory allow without predicting experts (decoding), or of the slower of the same prefill in
    memory and reading the file once (prefill), 0 for none.
    """

    name: str
    pair: str
    work: Work
    metric: Metric
    bar: float
    memory_share: float = 0
    alone: float = 0
    repack: bool = True
    limit: Limit | None = None
    bound: float = 0

    @property
    def models(self) -> Pair:
        return (PAIRS | LIMITED_PAIRS | FAMILY_PAIRS)[self.pair]


def limited(name: str, pair: str, work: Work, limit: int, bar: float, bound: float, read_ahead_kb: int = 8192) -> Row:
    """read_ahead_kb: what llama.cpp was fastest with, of 128 (Linux's own), 512 and 8192, where faults are slow enough to matter."""
    metric = "decode_tps" if work.generate else "prefill_tps"
    return Row(name, pair, work, metric, bar, repack=False, limit=Limit(limit, read_ahead_kb), bound=bound)


def rows() -> list[Row]:
    """The rows that compare programs; QUALITY, which compares Sluice with itself, comes after them."""
    same_file = ("1.7b-q4_0", "1.7b-q4_k", "1.7b-q6_k", "coder-1.5b", "smollm2")
    return [
        Row("decode-1.7b", "1.7b", DECODE, "decode_tps", 1.0, memory_share=0.90),
        Row("decode-moe", "moe", DECODE, "decode_tps", 1.05),
        Row("decode-gemma", "gemma", DECODE, "decode_tps", 1.3, memory_share=0.85),
        *(Row(f"decode-{pair}", pair, DECODE, "decode_tps", 1.0, memory_share=0.90) for pair in same_file),
        Row("prefill-1.7b", "1.7b", PREFILL, "prefill_tps", 1.8),
        Row("prefill-moe", "moe", PREFILL, "prefill_tps", 2.3),
        Row("prefill-gemma", "gemma", PREFILL, "prefill_tps", 2.1),
        *(Row(f"prefill-{pair}", pair, PREFILL, "prefill_tps", 1.6) for pair in same_file),
        *(Row(f"decode-{family}", family, DECODE, "decode_tps", 1.05) for family in FAMILIES),
        *(Row(f"prefill-{family}", family, PREFILL, "prefill_tps", 1.5) for family in FAMILIES),
        Row("decode-8k-1.7b", "1.7b", DECODE_AT_8K, "decode_tps", 2.0),
        Row("decode-8k-coder-1.5b", "coder-1.5b", DECODE_AT_8K, "decode_tps", 2.0),
        Row("decode-8k-gemma", "gemma", DECODE_AT_8K, "decode_tps", 1.1),
        Row("batch-8-1.7b", "1.7b", BATCH, "decode_tps", 1.2, alone=3.5),
        Row("start-1.7b", "1.7b", START, "wall_ms", 0.5),
        Row("start-1.7b-q4_0", "1.7b-q4_0", START, "wall_ms", 0.5),
        *(Row(f"rss-{pair}", pair, WHOLE, "peak_mb", 1.0, repack=False) for pair in PAIRS),
        limited("ram-3gb-decode-moe", "moe-random", DECODE, 3000 * MB, 2.5, 0.85, FEW),
        limited("ram-2gb-decode-moe", "moe-random", DECODE, 2000 * MB, 3.0, 0.85, FEW),
        limited("ram-2gb-decode-moe-reuse", "moe-reuse", DECODE, 2000 * MB, 0, 1.0, FEW),
        limited("ram-700mb-decode-1.7b", "1.7b", DECODE, 700 * MB, 2.0, 0.85),
        limited("ram-2gb-prefill-moe", "moe-random", COLD_PREFILL, 2000 * MB, 2.5, 0.85),
        limited("ram-700mb-prefill-1.7b", "1.7b", COLD_PREFILL, 700 * MB, 2.5, 0.85),
    ]


QUALITY = "quality-gemma"
PERPLEXITY_BAR = 0.002  # how far the default's may be from exact activations', relative
DIVERGENCE_BAR = 2e-3  # nats a token


@dataclass(frozen=True)
class Check:
    """One figure against its bar, as text and as a verdict."""

    text: str
    value: float
    bar: float
    held: bool


def at_least(value: float, bar: float, text: str) -> Check:
    return Check(text, value, bar, value >= bar)


def at_most(value: float, bar: float, text: str) -> Check:
    return Check(text, value, bar, value <= bar)


def checks_of(row: Row, medians: dict[str, Sample]) -> list[Check]:
    """medians: of "llama.cpp", "sluice" and, where the row asks for it, "sluice alone" or "sluice in memory" and "disk"."""
    sluice = medians["sluice"]
    ratio = sluice[row.metric] / medians["llama.cpp"][row.metric]
    if row.metric in ("wall_ms", "peak_mb"):
        checks = [at_most(ratio, row.bar, f"{ratio:.2f}x (<= {row.bar:g}x)")]
    else:
        checks = [at_least(ratio, row.bar, f"{ratio:.2f}x (>= {row.bar:g}x)" if row.bar else f"{ratio:.2f}x")]
    if row.memory_share:
        share = sluice["memory_share"]
        checks.append(at_least(share, row.memory_share, f"{share:.0%} of memory (>= {row.memory_share:.0%})"))
    if row.alone:
        gain = sluice[row.metric] / medians["sluice alone"][row.metric]
        checks.append(at_least(gain, row.alone, f"{gain:.2f}x one sequence (>= {row.alone:g}x)"))
    if row.limit:
        checks += limited_checks(row, medians)
    return checks


def limited_checks(row: Row, medians: dict[str, Sample]) -> list[Check]:
    sluice, peak, limit = medians["sluice"], medians["sluice"]["peak_mb"], row.limit.bytes / 1e6
    checks, bound = [at_most(peak, limit, f"peak {peak:.0f} MB (<= {limit:.0f})")], sluice.get("bound_tps", 0)
    if row.metric == "prefill_tps":
        read, file = sluice["read_mb"], medians["disk"]["file_mb"]
        checks.append(at_most(read, file, f"read {read:.0f} MB (<= {file:.0f})"))
        bound = min(medians["sluice in memory"]["prefill_tps"], row.work.prompt * medians["disk"]["disk_gb_per_s"] * 1e3 / file)
    share = sluice[row.metric] / bound
    return [at_least(share, row.bound, f"{share:.0%} of {bound:.3g} tok/s, the bound (>= {row.bound:.0%})"), *checks]


def quality_checks(found: Sample) -> list[Check]:
    difference = abs(found["perplexity"] / found["exact_perplexity"] - 1)
    divergence = found["divergence"]
    return [
        at_most(difference, PERPLEXITY_BAR, f"perplexity {difference:.3%} off (<= {PERPLEXITY_BAR:.1%})"),
        at_most(divergence, DIVERGENCE_BAR, f"KL {divergence:.2g} (<= {DIVERGENCE_BAR:g})"),
    ]
