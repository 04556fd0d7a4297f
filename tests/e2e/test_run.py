"""run, logits, tokenize and perplexity on a real tiny model: what scripts rely on."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import BINARY, MODEL, Sluice
from tokenizers import Tokenizer

RUN_FIELDS = {
    "text",
    "tokens",
    "prompt_tokens",
    "generation_tokens",
    "prefill_tps",
    "decode_tps",
    "ttft_ms",
    "load_ms",
    "peak_rss_bytes",
    "finish_reason",
    "activations",  # whether they were quantized, which DESIGN section 1 has the result say
    "lossy",  # options that give up exactness
    "residency",  # how --ram was divided
}
END_OF_TEXT = 0
PROMPT = "The following options are available:"


def answer(sluice: Sluice, *options: Any, prompt: str = PROMPT) -> dict:
    return sluice.json("run", MODEL, "-p", prompt, *map(str, options))


def assert_bad_usage(result: subprocess.CompletedProcess, *texts: str) -> None:
    assert result.returncode == 2, result.stderr
    assert result.stdout == "" and result.stderr.startswith("sluice: error: ") and result.stderr.count("\n") == 1
    for text in texts:
        assert text in result.stderr


def test_json_has_the_fields_of_the_contract(sluice: Sluice) -> None:
    result = answer(sluice, "-n", 12)
    assert set(result) == RUN_FIELDS
    assert result["generation_tokens"] == len(result["tokens"]) == 12 and result["finish_reason"] == "length"
    assert result["text"] == Tokenizer.from_file(str(MODEL / "tokenizer.json")).decode(result["tokens"])
    assert min(result[name] for name in ("prefill_tps", "decode_tps", "ttft_ms", "load_ms")) > 0
    assert 10_000_000 < result["peak_rss_bytes"] < 500_000_000


def test_plain_text_streams_to_stdout_and_the_rest_goes_to_stderr(sluice: Sluice) -> None:
    result = sluice.run("run", MODEL, "-p", PROMPT, "-n", "12")
    assert result.stdout == answer(sluice, "-n", 12)["text"] + "\n" and "tok/s" in result.stderr
    assert sluice.run("run", MODEL, "-p", PROMPT, "-n", "12", "--quiet").stderr == ""


def test_the_prompt_may_come_from_a_file_or_stdin(sluice: Sluice, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text(PROMPT)
    wanted = answer(sluice, "-n", 12)["tokens"]
    assert sluice.json("run", MODEL, "--file", tmp_path / "prompt", "-n", "12")["tokens"] == wanted
    command = [BINARY, "run", MODEL, "--file", "-", "-n", "12", "--json"]
    piped = subprocess.run(command, input=PROMPT, capture_output=True, text=True, env=sluice.environment, check=True)
    assert json.loads(piped.stdout)["tokens"] == wanted
    assert_bad_usage(sluice.run("run", MODEL), "-p")
    assert_bad_usage(sluice.run("run", MODEL, "-p", "x", "--file", "y"), "--file")


@pytest.mark.parametrize("command", [("run", "-p", PROMPT, "-n", "4"), ("chat",)])
def test_without_a_model_it_is_the_default_one(sluice: Sluice, command: tuple[str, ...]) -> None:
    assert_bad_usage(sluice.run(*command), "smollm2-135m-instruct", "make run", "sluice pull org/name")
    (sluice.home / "models").mkdir(parents=True)
    (sluice.home / "models/smollm2-135m-instruct").symlink_to(MODEL)
    assert sluice.run(*command).returncode == 0


def test_a_seed_decides_the_text(sluice: Sluice) -> None:
    def sampled(seed: int) -> str:
        return answer(sluice, "-n", 30, "--temp", 1, "--seed", seed)["text"]

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_the_template_surrounds_the_prompt_unless_raw(sluice: Sluice) -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    user = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    assert answer(sluice, "-n", 0, "--raw")["prompt_tokens"] == tokens(PROMPT)
    assert answer(sluice, "-n", 0)["prompt_tokens"] == tokens(user)
    system = "<|im_start|>system\nBe brief.<|im_end|>\n"
    assert answer(sluice, "-n", 0, "--system", "Be brief.")["prompt_tokens"] == tokens(system + user)
    assert_bad_usage(sluice.run("run", MODEL, "-p", "x", "--raw", "--system", "Be brief."), "--raw")


def test_a_stop_string_ends_the_text_before_it(sluice: Sluice) -> None:
    whole = answer(sluice, "-n", 30)["text"]
    stop = whole[len(whole) // 2 :][:7]
    cut = answer(sluice, "-n", 30, "--stop", "never in there", "--stop", stop)
    assert cut["finish_reason"] == "stop_string" and cut["text"] == whole[: whole.index(stop)]
    # One --stop takes one text: what follows it is the model.
    assert sluice.run("run", "-p", PROMPT, "-n", "1", "--stop", stop, MODEL).returncode == 0


def test_a_prompt_longer_than_the_context_says_both_numbers(sluice: Sluice) -> None:
    result = sluice.run("run", MODEL, "-p", "one two three four", "--raw", "--ctx", "3")
    tokens = sluice.json("tokenize", MODEL, "-p", "one two three four")["tokens"]
    assert_bad_usage(result, f"{len(tokens)} tokens", "holds 3", "--ctx")
    full = answer(sluice, "--raw", "--ctx", 16, "--ignore-eos", prompt="one")
    assert full["finish_reason"] == "context_full" and full["prompt_tokens"] + full["generation_tokens"] == 17


def test_no_tokens_are_an_answer_too(sluice: Sluice) -> None:
    nothing = answer(sluice, "-n", 0)
    assert nothing["text"] == "" and nothing["tokens"] == [] and nothing["prompt_tokens"] > 0


@pytest.mark.parametrize(
    "options",
    [
        ["--nonsense"],
        ["-n", "many"],
        ["-n", "-1"],
        ["--temp", "-1"],
        ["--top-p", "7"],
        ["--load", "1"],
        ["--kv-type", "f8"],
        ["--threads", "0"],
        ["--ctx", "0"],
        ["--logit-bias", "5"],
        ["--logit-bias", "8192=1"],
        ["--chat-template-args", "[1]"],
        ["--kv-reserve", "5000"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_bad_usage(sluice: Sluice, options: list[str]) -> None:
    assert_bad_usage(sluice.run("run", MODEL, "-p", "x", *options))


def test_a_logit_bias_forbids_and_forces_tokens(sluice: Sluice) -> None:
    free = answer(sluice, "-n", 1)["tokens"][0]
    assert answer(sluice, "-n", 1, "--logit-bias", f"{free}=-1000")["tokens"][0] != free
    assert answer(sluice, "-n", 3, "--logit-bias", "100=1e4", "--logit-bias", "5=-3")["tokens"] == [100] * 3
    ended = answer(sluice, "-n", 3, "--logit-bias", f"{END_OF_TEXT}=1e4")
    assert ended["finish_reason"] == "stop" and ended["tokens"] == []
    assert answer(sluice, "-n", 3, "--logit-bias", f"{END_OF_TEXT}=1e4", "--ignore-eos")["generation_tokens"] == 3


def test_a_template_of_the_user_replaces_the_models(sluice: Sluice, tmp_path: Path) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text("{{ greeting | default('') }}{{ messages[0].content }}")
    options = ["-n", 8, "--chat-template", template]
    assert answer(sluice, *options)["tokens"] == answer(sluice, "-n", 8, "--raw")["tokens"]
    greeted = answer(sluice, *options, "--chat-template-args", '{"greeting": "Hello. "}')
    assert greeted["tokens"] == answer(sluice, "-n", 8, "--raw", prompt="Hello. " + PROMPT)["tokens"]


def test_what_a_template_raises_reaches_the_user(sluice: Sluice, tmp_path: Path) -> None:
    template = tmp_path / "strict.jinja"
    template.write_text("{{ raise_exception('Only poems, please') }}")
    result = sluice.run("run", MODEL, "-p", "x", "--chat-template", template)
    assert_bad_usage(result, "strict.jinja", "Only poems, please")
    template.write_text("{% for %}")
    assert sluice.run("run", MODEL, "-p", "x", "--chat-template", template).stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello world",
        "  leading, trailing  \n\n\ttabs\r\n",
        "Grüße, 東京 🌍👩‍👩‍👧 e\u0301",
        "<|im_start|>user\nspecial<|im_end|>",
        "def f(x):\n    return x**2  # 12345678",
    ],
)
def test_tokenize_gives_the_ids_of_the_reference(sluice: Sluice, tmp_path: Path, text: str) -> None:
    (tmp_path / "text").write_bytes(text.encode())
    tokens = sluice.json("tokenize", MODEL, "--file", tmp_path / "text")["tokens"]
    reference = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert tokens == reference.encode(text).ids
    assert reference.decode(tokens, skip_special_tokens=False) == text


def test_logits_do_not_depend_on_how_they_are_computed(sluice: Sluice, tmp_path: Path) -> None:
    """The same bits for every chunking, number of threads, reservation and way of loading, in each instruction set."""
    tokens = sluice.json("tokenize", MODEL, "-p", PROMPT * 8)["tokens"]

    def logits(isa: str, *options: str) -> np.ndarray:
        out = tmp_path / "out.npy"
        arguments = ["--tokens", ",".join(map(str, tokens)), "--out", out, *options]
        result = sluice.json("logits", MODEL, *arguments, **({"SLUICE_ISA": isa} if isa else {}))
        assert result["shape"] == [len(tokens), 8192]
        return np.load(out)

    by_isa = {}
    for isa in ("", "portable"):
        first = by_isa[isa] = logits(isa, "--threads", "1")
        assert first.dtype == np.float32 and np.isfinite(first).all()
        for options in (
            ["--threads", "2"],
            ["--chunk", "1"],
            ["--chunk", "7", "--threads", "2"],
            ["--kv-reserve", "512"],
            ["--load", "copy", "--kv-reserve", "0"],
        ):
            assert np.array_equal(first, logits(isa, *options)), f"{isa} {options}"
    # Rounding to 8 bits turns the sets' last bits into steps, so the sets are compared without it.
    exact = [logits(isa, "--exact-activations") for isa in ("", "portable")]
    assert np.allclose(*exact, atol=1e-2 * np.abs(exact[0]).max())


def test_perplexity_is_what_the_logits_say(sluice: Sluice, tmp_path: Path) -> None:
    text = (PROMPT + " a, b and c.\n") * 40
    (tmp_path / "text").write_text(text)
    tokens = np.array(sluice.json("tokenize", MODEL, "-p", text)["tokens"])
    ctx = 64
    result = sluice.json("perplexity", MODEL, "--file", tmp_path / "text", "--ctx", str(ctx))
    losses = []
    for window in tokens[: len(tokens) // ctx * ctx].reshape(-1, ctx):
        sluice.json("logits", MODEL, "--tokens", ",".join(map(str, window)), "--out", tmp_path / "out.npy")
        logits = np.load(tmp_path / "out.npy").astype(np.float64)[ctx // 2 : ctx - 1]
        top = logits.max(axis=1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        losses += list(total - logits[np.arange(len(logits)), window[ctx // 2 + 1 :]])
    assert result["tokens"] == len(losses)
    assert result["nll"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert result["ppl"] == pytest.approx(np.exp(result["nll"]))
    too_short = sluice.run("perplexity", MODEL, "--file", tmp_path / "text", "--ctx", "4096")
    assert_bad_usage(too_short, f"{len(tokens)} tokens", "4096")


def start_long_run(sluice: Sluice, *options: str) -> subprocess.Popen:
    """Has begun its answer, which is far from its end."""
    process = subprocess.Popen(
        [BINARY, "run", MODEL, "-p", PROMPT, "-n", "1000000", "--ignore-eos", "--ctx", "1000000", *options],
        env=sluice.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.read(20)
    return process


def test_a_reader_that_goes_away_ends_the_run_quietly(sluice: Sluice) -> None:
    with start_long_run(sluice) as process:
        process.stdout.close()
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == b""


def test_an_interrupt_ends_the_run_with_what_there_is(sluice: Sluice) -> None:
    with start_long_run(sluice) as process:
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=10)
        assert time.monotonic() - start < 5
        assert process.returncode == 0 and text.endswith(b"\n") and b"tok/s" in errors
