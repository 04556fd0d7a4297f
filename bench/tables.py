"""What was measured as Markdown tables, and for each row whether the paper's two complaints came true.

The paper is AtomGradient, "Exploring Zero-Copy mmap Loading and KV Cache Pre-Allocation for MLX on Apple Silicon" (2026): with
mapped files, small models loaded slower and the peak memory of some doubled.
"""

from dataclasses import dataclass

from measure import Sample

TOLERANCE = 1.05  # medians closer than this count as equal: the paper calls 3 to 5 % noise
DOUBLED = 2.0  # of the file's bytes

CRITERIA = {
    "memory (load, inference)": f"mapped peak <= {TOLERANCE} x copied peak, and mapped peak - an empty Sluice process's < "
    f"{DOUBLED} x the file's bytes",
    "load": f"mapped load_ms <= {TOLERANCE} x copied's and mlx-lm's, and mapped start to first token <= {TOLERANCE} x copied's "
    "and mlx-lm's",
    "speed": f"prefill and decode with mapped files >= copied's / {TOLERANCE}",
    "memory (KV reserve)": f"peak - peak with no reserve <= {TOLERANCE} x the bytes of the reserved tokens",
    "first token (KV reserve)": f"first token after loading <= {TOLERANCE} x that with no reserve",
    "speed (KV reserve)": f"prefill and decode >= those with no reserve / {TOLERANCE}",
}


@dataclass(frozen=True)
class Row:
    """Cells as text, verdicts by name."""

    cells: list[str]
    verdicts: dict[str, bool]


def number(value: float) -> str:
    """Three digits, no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def numbers(samples: list[Sample], metric: str) -> str:
    """One metric of several variants as `1.0 / 2.0 / -`."""
    return " / ".join(number(sample[metric]) if metric in sample else "-" for sample in samples)


def memory_held(mapped_mb: float, copied_mb: float, file_mb: float, empty_mb: float) -> bool:
    return mapped_mb <= TOLERANCE * copied_mb and mapped_mb - empty_mb < DOUBLED * file_mb


def speed_held(sample: Sample, reference: Sample) -> bool:
    return all(sample[metric] * TOLERANCE >= reference[metric] for metric in ("prefill_tps", "decode_tps"))


def load_row(name: str, medians: dict[str, Sample], file_mb: float, empty_mb: float) -> Row:
    mapped, copied, mlx_lm = medians["mapped"], medians["copied"], medians.get("mlx-lm", {})
    metrics = ("load_ms", "start_to_first_token_ms")
    load = all(mapped[m] <= TOLERANCE * other[m] for other in (copied, mlx_lm) for m in metrics if m in other)
    memory = memory_held(mapped["load_peak_mb"], copied["load_peak_mb"], file_mb, empty_mb)
    cells = [name, number(file_mb), *(numbers([mapped, copied, mlx_lm], metric) for metric in (*metrics, "load_peak_mb"))]
    return Row(cells, {"memory": memory, "load": load})


def inference_row(name: str, medians: dict[str, Sample], file_mb: float, empty_mb: float) -> Row:
    mapped, copied = medians["mapped"], medians["copied"]
    metrics = ("load_ms", "prefill_tps", "decode_tps", "peak_mb")
    cells = [name, *(numbers([mapped, copied], metric) for metric in metrics)]
    memory = memory_held(mapped["peak_mb"], copied["peak_mb"], file_mb, empty_mb)
    return Row(cells, {"memory": memory, "speed": speed_held(mapped, copied)})


def reserve_rows(name: str, medians: dict[str, Sample], kv_bytes_per_token: int) -> list[Row]:
    """medians: by the number of reserved tokens as text, "0" first."""
    rows, off = [], medians["0"]
    for tokens, sample in medians.items():
        reserved_mb = int(tokens) * kv_bytes_per_token / 1e6
        added_mb = sample["peak_mb"] - off["peak_mb"]
        metrics = ("load_ms", "ttft_ms", "prefill_tps", "decode_tps", "peak_mb")
        cells = [name, "off" if tokens == "0" else tokens, *(number(sample[m]) for m in metrics)]
        if tokens == "0":
            rows.append(Row([*cells, "-", "-"], {}))
            continue
        verdicts = {
            "memory": added_mb <= TOLERANCE * reserved_mb,
            "first token": sample["ttft_ms"] <= TOLERANCE * off["ttft_ms"],
            "speed": speed_held(sample, off),
        }
        rows.append(Row([*cells, f"{added_mb:+.0f}", number(reserved_mb)], verdicts))
    return rows


COLUMNS = {
    "load": ["model", "file MB", "load ms, mapped / copied / mlx-lm", "start to first token ms", "peak RSS MB"],
    "inference": ["model", "load ms, mapped / copied", "prefill tok/s", "decode tok/s", "peak RSS MB"],
    "reserve": ["model", "KV reserve", "load ms", "first token ms", "prefill tok/s", "decode tok/s", "peak RSS MB"]
    + ["added MB", "reserved MB"],
}


def markdown(kind: str, rows: list[Row]) -> str:
    verdicts = list(rows[-1].verdicts)
    head = [*COLUMNS[kind], *(f"{verdict} held" for verdict in verdicts)]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        told = [{True: "yes", False: "NO"}[row.verdicts[v]] if row.verdicts else "-" for v in verdicts]
        lines.append([*row.cells, *told])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
