"""run, logits, tokenize and perplexity on a real tiny model: what scripts rely on."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import BINARY, MODEL, Sluice, assert_bad_usage, link_model
from terminal import Terminal
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
    "speculation",
    "pruned",  # what --snap-kv kept of the prompt
    "activations",  # whether they were quantized, which DESIGN section 1 has the result say
    "context",  # most tokens of a sequence, and what the model was trained for
    "lossy",  # options that give up exactness
    "seed",  # of the random numbers; null where none were drawn
    "residency",  # how --ram was divided
}
END_OF_TEXT = 0
PROMPT = "The following options are available:"


def answer(sluice: Sluice, *options: Any, prompt: str = PROMPT) -> dict:
    return sluice.json("run", MODEL, "-p", prompt, *map(str, options))


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
    def sampled(*options: Any) -> dict:
        return answer(sluice, "-n", 30, *options)

    first = sampled("--temp", 1, "--seed", 1)
    assert first == first | {name: sampled("--seed", 1, "--chunk", 3, "--threads", 2)[name] for name in ("text", "tokens", "seed")}
    assert first["text"] != sampled("--seed", 2)["text"] and first["seed"] == 1
    # Without one another is drawn each time, and told, so that the text can be had again.
    once, again = (sampled("--top-p", 0.95) for _ in range(2))
    assert once["seed"] != again["seed"] and once["text"] != again["text"]
    assert sampled("--top-p", 0.95, "--seed", once["seed"])["text"] == once["text"]
    assert sampled()["seed"] is None and sampled("--temp", 0, "--seed", 3)["seed"] is None
    assert re.search(r"seed \d+", sluice.run("run", MODEL, "-p", PROMPT, "-n", "1", "--temp", "1").stderr)


def test_the_template_surrounds_the_prompt_unless_raw(sluice: Sluice) -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    user = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    assert answer(sluice, "-n", 0, "--raw")["prompt_tokens"] == tokens(PROMPT)
    assert answer(sluice, "-n", 0)["prompt_tokens"] == tokens(user)
    system = "<|im_start|>system\nBe brief.<|im_end|>\n"
    assert answer(sluice, "-n", 0, "--system", "Be brief.")["prompt_tokens"] == tokens(system + user)


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


def test_a_tokenizer_that_knows_more_than_the_model_is_an_error_and_no_number(sluice: Sluice, tmp_path: Path) -> None:
    """An id that is looked up and never computed is that of a window's last token."""
    for token in (8192, 8197, 2_147_483_647):
        model = link_model(tmp_path / str(token))
        tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
        tokenizer["model"]["vocab"]["ĠZ"] = token
        (model / "tokenizer.json").unlink()
        (model / "tokenizer.json").write_text(json.dumps(tokenizer))
        (tmp_path / "text").write_text("a b c Z " * 20)
        for command in (["perplexity", model, "--file", tmp_path / "text", "--ctx", "4"], ["run", model, "-p", "a Z", "-n", "1"]):
            assert_bad_usage(sluice.run(*command), "vocabulary has 8192", "tokenizer")
        with Terminal(sluice.environment, "chat", model) as terminal:
            terminal.wait_for_prompt()
            assert "vocabulary has 8192" in terminal.ask("a Z")


def test_an_id_that_is_no_token_id_is_an_error_when_the_tokenizer_is_opened(sluice: Sluice, tmp_path: Path) -> None:
    model = link_model(tmp_path / "model")
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["ĠZ"] = 3_000_000_000
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused = sluice.run("run", model, "-p", "a Z", "-n", "1")
    assert refused.returncode == 3 and 'token "ĠZ" has the id 3000000000' in refused.stderr


def test_what_is_lossy_is_told(sluice: Sluice) -> None:
    """The tiny model is of bfloat16."""
    for kv_type, lossy in (("f32", None), ("bf16", None), ("f16", {"kv_type": "f16"})):
        assert answer(sluice, "-n", 2, "--kv-type", kv_type)["lossy"] == lossy
        told = sluice.run("run", MODEL, "-p", PROMPT, "-n", "2", "--kv-type", kv_type).stderr
        assert ('lossy: {"kv_type":"f16"}' in told) == (lossy is not None)


def test_what_was_pruned_of_a_prompt_is_told(sluice: Sluice) -> None:
    text = "one two three four five six seven eight " * 130
    got = answer(sluice, "-n", 4, "--raw", "--snap-kv", 768, prompt=text)
    assert got["pruned"] == {"kept": 768, "of": got["prompt_tokens"]} and got["lossy"] == {"snap_kv": 768}
    assert got["prompt_tokens"] > 1000
    short = answer(sluice, "-n", 4, "--snap-kv", 768)
    assert short["pruned"] is None and short["tokens"] == answer(sluice, "-n", 4)["tokens"]


def test_a_context_beyond_the_trained_one_is_told(sluice: Sluice) -> None:
    assert answer(sluice, "-n", 1)["context"] == {"tokens": 4096, "trained": 4096}
    assert answer(sluice, "-n", 1, "--ctx", 5000)["context"] == {"tokens": 5000, "trained": 4096}
    for context, told in (("4096", False), ("5000", True)):
        result = sluice.run("run", MODEL, "-p", PROMPT, "-n", "1", "--ctx", context)
        assert ("beyond the 4096" in result.stderr) == told
    assert sluice.run("run", MODEL, "-p", PROMPT, "-n", "1", "--ctx", "5000", "-q").stderr == ""


def test_text_in_a_pipe_is_exact_and_on_a_terminal_harmless(sluice: Sluice, tmp_path: Path) -> None:
    """A model whose answer is made of what a terminal would obey."""
    text = "\r\f\b\x1b[31m\x7f\u009b\u200f\u202e\u2066é"
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # byte-level BPE writes other bytes from U+0100 on
    letters = {byte: chr(byte) for byte in kept} | {byte: chr(0x100 + i) for i, byte in enumerate(sorted(set(range(256)) - set(kept)))}
    model = link_model(tmp_path / "model")
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
    bpe = tokenizer["model"]
    old = next(piece for piece, token in bpe["vocab"].items() if token == 5000)
    bpe["vocab"] = {piece: token for piece, token in bpe["vocab"].items() if piece != old}
    bpe["vocab"]["".join(letters[byte] for byte in text.encode())] = 5000
    pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in bpe["merges"]]
    bpe["merges"] = [merge for merge, pair in zip(bpe["merges"], pairs) if old not in (*pair, "".join(pair))]
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    options = ["run", model, "-p", "x", "-n", "1", "--logit-bias", "5000=1e9", "-q"]
    assert sluice.json(*options)["text"] == text
    piped = subprocess.run([BINARY, *options], env=sluice.environment, capture_output=True)
    assert piped.stdout == text.encode() + b"\n"
    for more in ([], ["--json"]):
        with Terminal(sluice.environment, *options, *more) as terminal:
            assert terminal.leave("") == 0
        shown = terminal.output.replace(b"\r\n", b"\n").decode()
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown), shown
        assert "x1b[31m" in shown or "u001b[31m" in shown


def test_what_a_template_raises_cannot_drive_the_terminal(sluice: Sluice, tmp_path: Path) -> None:
    template = tmp_path / "evil.jinja"
    template.write_text('{{ raise_exception("\\u001b]0;owned\\u0007\\u009b31m\\u202e") }}')
    with Terminal(sluice.environment, "chat", MODEL, "--chat-template", template) as terminal:
        terminal.wait_for_prompt()
        start = len(terminal.output)
        terminal.ask("hello")
        shown = terminal.output[start:].decode()
        assert "\\x1b]0;owned\\x07\\x9b31m\\u202e" in shown and "\x1b]0;owned" not in shown


def test_a_prompt_that_cannot_be_read_is_an_error(sluice: Sluice, tmp_path: Path) -> None:
    unreadable = [tmp_path, tmp_path / "absent"]
    if Path("/proc/self/mem").exists():
        unreadable.append(Path("/proc/self/mem"))  # its first page reads as EIO
    for file in unreadable:
        for command in (["run", MODEL, "-n", "1", "--file"], ["tokenize", MODEL, "--file"], ["perplexity", MODEL, "--file"]):
            result = sluice.run(*command, file)
            assert result.returncode == 1 and str(file) in result.stderr and result.stdout == ""
        assert sluice.run("run", MODEL, "-p", "x", "--chat-template", file).returncode == 1
        assert sluice.run("logits", MODEL, "--out", tmp_path / "o.npy", "--tokens", f"@{file}").returncode == 1
    directory = os.open(tmp_path, os.O_RDONLY)
    command = [BINARY, "run", MODEL, "--file", "-"]
    piped = subprocess.run(command, stdin=directory, capture_output=True, text=True, env=sluice.environment)
    os.close(directory)
    assert piped.returncode == 1 and "stdin" in piped.stderr


COMMANDS_WITH_A_MODEL = [
    ["run", MODEL, "-p", "x", "-n", "1"],
    ["tokenize", MODEL, "-p", "x"],
    ["inspect", MODEL],
    ["plan", MODEL, "--ram", "1GB", "--sim-bandwidth", "10GB/s"],
    ["bench", MODEL, "-p", "1", "-n", "1", "-r", "1", "--no-probe"],
    ["bench", MODEL, "-p", "1", "-n", "1", "-r", "1", "--no-probe", "--ram", "1GB"],
    ["chat", MODEL],
]


@pytest.mark.parametrize("command", COMMANDS_WITH_A_MODEL, ids=lambda command: f"{command[0]}-{len(command)}")
def test_a_models_path_needs_no_home(tmp_path: Path, command: list) -> None:
    def run(arguments: list) -> subprocess.CompletedProcess:
        return subprocess.run(
            [BINARY, *arguments], env={}, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    assert run(command).returncode == 0, run(command).stderr
    assert list(tmp_path.iterdir()) == [], "nothing was left where it ran"
    if command[0] == "plan":
        return  # which asks the hub for a name
    by_name = run([command[0], "org/name", *command[2:]])
    assert by_name.returncode == 2 and "SLUICE_HOME" in by_name.stderr
