"""--spill: keys and values that --ram has no room for, from a file that nobody sees."""

import time
from pathlib import Path

from program import MODEL, Sluice

MB = 1_000_000


def test_a_long_prompt_stays_within_the_smallest_budget(sluice: Sluice, tmp_path: Path) -> None:
    bench = ("bench", MODEL, "-p", "4096", "-n", "4", "-r", "1", "--no-probe", "--ctx", "8192", "--spill", tmp_path / "spill")
    least = sluice.least_budget(*bench)
    ram = least + 2 * MB  # the process is measured each time, and told in steps of 1 MiB
    found = sluice.json(*bench, "--ram", str(ram))
    assert found["peak_rss_bytes"] <= ram
    spill = found["residency"]["spill"]
    assert 0 < spill["bytes_written"] < spill["bytes_read"] and spill["limit"] == 20_000_000_000
    assert not list((tmp_path / "spill").iterdir())
    whole = sluice.least_budget(*bench[:-2])
    assert least < whole, "the context alone would not fit"
    plan = ("plan", MODEL, "--ctx", "8192", "--sim-disk", "2GB/s", "--sim-bandwidth", "30GB/s")
    told = sluice.json(*plan, "--spill", tmp_path / "spill", "--ram", str(ram))
    assert abs(told["smallest_budget"] - least) <= 1 << 20
    assert 0 < told["kept_tokens"] < 8192 and told["spilled_bytes"] > 0
    assert sluice.json(*plan)["kept_tokens"] == 8192


def test_an_answer_is_that_of_memory_and_nothing_is_left_of_a_killed_process(sluice: Sluice, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("Once upon a time a small boat sailed across the wide sea, and nobody knew where it went. " * 180)
    run = ("run", MODEL, "--raw", "-n", "24", "--file", text, "--ctx", "8192", "--seed", "3", "--temp", "1")
    spill = ("--spill", tmp_path / "spill")
    within = ("--ram", str(sluice.least_budget(*run, *spill) + 2 * MB), *spill)
    found = sluice.json(*run, *within)
    assert found["residency"]["spill"]["bytes_written"] > 0 and found["lossy"] is None
    assert found["tokens"] == sluice.json(*run)["tokens"]
    process = sluice.start(*run, *within)
    while not (tmp_path / "spill").exists():
        assert process.poll() is None
    time.sleep(0.2)  # the file has lost its name
    process.kill()
    process.wait()
    assert not list((tmp_path / "spill").iterdir())
    refused = sluice.run(*run, *within, "--spill-limit", "1MB")
    assert refused.returncode == 4
    warning, error = refused.stderr.splitlines()
    assert "trained for" in warning and "--spill-limit" in error
