"""Every option of every command is honoured or refused: here are the refusals."""

import json
from pathlib import Path

import pytest
from program import MODEL, Sluice, assert_bad_usage

RUN = ["run", MODEL, "-p", "x", "-n", "1"]
BENCH = ["bench", MODEL, "-p", "1", "-n", "1"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        # what is no value
        ([*RUN, "--nonsense"], "--nonsense"),
        (["run", MODEL], "-p"),
        ([*RUN, "-n", "2"], "--max-tokens"),
        (["run", MODEL, "-p", "x", "-n", "many"], "'many' is not a whole number from 0 to"),
        (["run", MODEL, "-p", "x", "-n", "-1"], "'-1' is not a whole number from 0 to"),
        (["run", MODEL, "-p", "x", "-n", "99999999999999999999"], "whole number"),
        (["run", MODEL, "-p", "x", "--file", "y"], "--file"),
        ([*RUN, "--temp", "-1"], "temperature"),
        ([*RUN, "--top-p", "7"], "top_p"),
        ([*RUN, "--load", "1"], "--load"),
        ([*RUN, "--kv-type", "f8"], "--kv-type"),
        ([*RUN, "--threads", "0"], "--threads"),
        ([*RUN, "--max-kv-size", "4"], "'4' is not a whole number from 5 to"),
        ([*RUN, "--max-kv-size", "512", "--kv-bits", "8"], "--kv-bits"),
        ([*RUN, "--snap-kv", "1000"], "--snap-kv is 1000, it must be a multiple of 256 from 768 on"),
        ([*RUN, "--snap-kv", "1024", "--max-kv-size", "512"], "--max-kv-size"),
        ([*RUN, "--chunk", "0"], "'0' is not a whole number from 1 to"),
        ([*RUN, "--ctx", "0"], "'0' is not a whole number from 1 to"),
        ([*RUN, "--ctx", "100000000000"], "2147483647"),
        ([*RUN, "--kv-reserve", "5000"], "--kv-reserve"),
        ([*RUN, "--kv-reserve", "-1"], "whole number from 0 to"),
        ([*RUN, "--stop", ""], "--stop"),
        ([*RUN, "--chat-template-args", "[1]"], "--chat-template-args"),
        (["logits", MODEL, "--tokens", "", "--out", "o.npy"], "--tokens"),
        (["logits", MODEL, "--tokens", "1,x", "--out", "o.npy"], "'x'"),
        (["logits", MODEL, "--tokens", "1,-5", "--out", "o.npy"], "-5"),
        (["logits", MODEL, "--tokens", "1,8192", "--out", "o.npy"], "8192"),
        (["logits", MODEL, "--tokens", "99999999999", "--out", "o.npy"], "99999999999"),
        (["bench", MODEL, "-p", "0", "-n", "0"], "nothing to measure"),
        (["bench", MODEL, "-p", "4000", "-n", "4000"], "do not fit"),
        # ids and biases
        ([*RUN, "--logit-bias", "5"], "--logit-bias"),
        ([*RUN, "--logit-bias", "8192=1"], "8192"),
        ([*RUN, "--logit-bias", "100=inf"], "100"),
        ([*RUN, "--logit-bias", "100=1e39"], "100"),
        ([*RUN, "--logit-bias", "100=nan", "--temp", "1"], "100"),
        (["chat", MODEL, "--logit-bias", "100=inf"], "100"),
        # what would have no effect
        ([*RUN, "--temp", "0", "--top-k", "50"], "--top-k"),
        ([*RUN, "--xtc-threshold", "0.2"], "--xtc-threshold"),
        ([*RUN, "--penalty-window", "5"], "--penalty-window"),
        (["chat", MODEL, "--temp", "0", "--min-p", "0.1"], "--min-p"),
        ([*RUN, "--raw", "--system", "Be brief."], "--raw"),
        ([*RUN, "--raw", "--chat-template", "x"], "--raw"),
        ([*RUN, "--raw", "--chat-template-args", "{}"], "--raw"),
        ([*RUN, "--policy", "lru"], "--ram"),
        ([*RUN, "--no-prefetch"], "--ram"),
        ([*RUN, "--spill", "x"], "--ram"),
        ([*RUN, "--ram", "1GB", "--spill-limit", "1GB"], "--spill"),
        ([*RUN, "--ram", "1GB", "--spill", "x", "--spill-limit", "much"], "much"),
        ([*RUN, "--ram", "1GB", "--spill", "/dev/shm"], "lies in memory"),
        ([*RUN, "--no-governor"], "--ram"),
        ([*RUN, "--profile", "p"], "--ram"),
        ([*RUN, "--on-miss", "skip"], "--ram"),
        ([*RUN, "--load", "map", "--ram", "1GB"], "--load"),
        ([*BENCH, "--load", "copy", "--ram", "1GB"], "--load"),
        ([*RUN, "--top-k-experts", "100"], "--top-k-experts"),
        (["inspect", MODEL, "--metadata"], "--metadata"),
        (["list", "--names", "--json"], "--names"),
        (["plan", MODEL, "--ram", "2GB", "--sim-ram", "1GB"], "--sim-ram"),
    ],
    ids=lambda value: " ".join(str(part) for part in value if part != MODEL) if isinstance(value, list) else "",
)
def test_an_option_that_cannot_be_honoured_is_refused_by_its_name(sluice: Sluice, arguments: list, named: str) -> None:
    assert_bad_usage(sluice.run(*arguments), named)


def test_template_options_need_a_template(sluice: Sluice, tmp_path: Path) -> None:
    model = tmp_path / "base"
    model.mkdir()
    for file in MODEL.iterdir():
        (model / file.name).symlink_to(file)
    (model / "tokenizer_config.json").unlink()
    config = json.loads((MODEL / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({key: value for key, value in config.items() if key != "chat_template"}))
    (model / "chat_template.jinja").unlink(missing_ok=True)
    for command in (["run", model, "-p", "x", "-n", "1"], ["chat", model]):
        assert sluice.run(*command).returncode == 0
        refused = sluice.run(*command, "--chat-template-args", "{}")
        assert refused.returncode == 2 and "--chat-template-args" in refused.stderr
    assert_bad_usage(sluice.run("run", model, "-p", "x", "--system", "x"), "--system")


def test_sampling_options_sample_without_a_temperature(sluice: Sluice) -> None:
    def text(*options: str) -> str:
        return sluice.json("run", MODEL, "-p", "The following options are", "-n", "20", *options)["text"]

    greedy = text()
    assert text("--temp", "0", "--seed", "5") == greedy
    assert text("--seed", "5") == text("--temp", "1", "--seed", "5") != greedy
    assert text("--top-k", "50", "--top-p", "0.9", "--seed", "5") != greedy
    assert text("--top-k", "1") == greedy
