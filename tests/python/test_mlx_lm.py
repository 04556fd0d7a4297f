"""sluice.mlx_lm beside mlx_lm: names, arguments and what they mean.

Of mlx-lm's tests/test_generate.py and test_sample_utils.py all cases are here as properties, but those of BatchGenerator, which is none of
mlx_lm's public calls (batch_generate is held to the same claims); of input_embeddings, which are refused; and of a sliding window that
replaces the model's own (make_cache, max_kv_size)."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import mlx_lm
import mlx_lm.sample_utils
import numpy as np
import pytest
import sluice
import sluice.mlx_lm
from conftest import CHAT_MODEL
from conftest import TINY_MOE as TINY_MOE_PATH
from sluice.mlx_lm import batch_generate, generate, load, sample_utils, stream_generate
from sluice.mlx_lm.models.cache import load_prompt_cache, make_prompt_cache, save_prompt_cache, trim_prompt_cache
from sluice.mlx_lm.sample_utils import make_logits_processors, make_sampler

HERE = Path(__file__).parent
TINY_MOE = str(TINY_MOE_PATH)


@pytest.fixture(scope="module")
def loaded():
    model, tokenizer = load(CHAT_MODEL)
    yield model, tokenizer
    model.close()


@pytest.fixture(scope="module")
def prompt(loaded):
    return loaded[1].apply_chat_template([{"role": "user", "content": "Write a story about Einstein"}], add_generation_prompt=True)


@pytest.mark.parametrize("name", ["load", "generate", "stream_generate", "batch_generate"])
def test_arguments_have_mlx_lms_names_order_and_defaults(name):
    theirs = inspect.signature(getattr(mlx_lm, name)).parameters
    ours = inspect.signature(getattr(sluice.mlx_lm, name)).parameters
    for their, our in zip([p for p in theirs.values() if p.name not in ("stream", "kwargs")], ours.values()):
        assert (our.name, our.default) == (their.name, their.default)


@pytest.mark.parametrize("name", ["make_sampler", "make_logits_processors", "make_presence_penalty", "apply_top_p"])
def test_arguments_of_samplers_are_mlx_lms(name):
    theirs, ours = getattr(mlx_lm.sample_utils, name), getattr(sample_utils, name)
    ours, theirs = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    assert {n: p.default for n, p in ours.items() if n != "random"} == {n: p.default for n, p in theirs.items()}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("apply_top_k", (7,)), ("apply_top_p", (0.7,)), ("apply_min_p", (0.1,)), ("apply_min_p", (0.5, 9)), ("apply_xtc", (1.0, 0.02, [3]))],
)
def test_stages_keep_the_tokens_that_mlx_lms_keep(name, arguments):
    logits = np.random.default_rng(5).normal(0, 2, (16, 200)).astype(np.float32)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    kept = np.isfinite(np.array(getattr(mlx_lm.sample_utils, name)(mx.array(logprobs), *arguments)))
    ours = getattr(sample_utils, name)(mx.array(logprobs), *arguments)
    assert isinstance(ours, mx.array)
    np.testing.assert_array_equal(np.isfinite(np.array(ours)), kept)
    np.testing.assert_array_equal(np.array(ours)[kept], logprobs[kept])
    np.testing.assert_array_equal(getattr(sample_utils, name)(logprobs, *arguments), np.array(ours))


def test_what_is_certain_or_impossible_is_so_for_the_stages():
    probs = mx.array([[0.9, 0.0, 0.0, 0.1], [0.0, 0.8, 0.1, 0.1]])
    for kept in (sample_utils.apply_top_p(mx.log(probs), 0.5), sample_utils.apply_top_k(mx.log(probs), 1)):
        assert mx.softmax(kept, axis=-1).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    logits = mx.zeros((1, 4))
    tokens = mx.array([0, 0, 0, 1, 1])
    assert sample_utils.make_presence_penalty(0.5, 5)(tokens, logits).tolist() == [[-0.5, -0.5, 0, 0]]
    assert sample_utils.make_frequency_penalty(0.5, 5)(tokens, logits).tolist() == [[-1.5, -1.0, 0, 0]]
    for call in (lambda: sample_utils.apply_top_k(logits, 4), lambda: sample_utils.apply_min_p(logits, 2.0)):
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize("options", [{"repetition_penalty": 1.3}, {"presence_penalty": 0.7}, {"frequency_penalty": 0.4, "logit_bias": {3: 2.0}}])
def test_processors_change_logits_as_mlx_lms_do(options):
    tokens = mx.array(np.random.default_rng(1).integers(0, 50, 64))
    ours = theirs = mx.array(np.random.default_rng(2).normal(0, 3, (1, 50)).astype(np.float32))
    for processor in make_logits_processors(**options):
        ours = processor(tokens, ours)
    for processor in mlx_lm.sample_utils.make_logits_processors(**options):
        theirs = processor(tokens, theirs + 0)
    np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-6)


def test_the_engine_and_the_hooks_make_the_same_of_processors(loaded, prompt):
    model, tokenizer = loaded
    processors = make_logits_processors(repetition_penalty=1.3, frequency_penalty=0.2)
    wanted = generate(model, tokenizer, prompt, max_tokens=16, logits_processors=processors)
    assert sample_utils.engine_options(None, processors, False).keys() == {"repetition_penalty", "penalty_window", "frequency_penalty"}
    hooked = "".join(r.text for r in stream_generate(model, tokenizer, prompt, max_tokens=16, logits_processors=processors))
    assert hooked == wanted != generate(model, tokenizer, prompt, max_tokens=16)


def test_hooks_get_mlx_arrays(loaded, prompt):
    model, tokenizer = loaded
    wanted = generate(model, tokenizer, prompt, max_tokens=6)
    seen = []

    def processor(tokens, logits):
        seen.append((tokens.tolist(), logits.shape))
        return logits + mx.zeros_like(logits)

    def sampler(logprobs):
        assert mx.allclose(mx.logsumexp(logprobs, -1), mx.array(0.0), atol=1e-3)
        return mx.argmax(logprobs, axis=-1)

    assert generate(model, tokenizer, prompt, max_tokens=6, logits_processors=[processor], sampler=sampler) == wanted
    assert seen[0] == (prompt, (1, model.vocab_size)) and len(seen) == 6


def test_seeds_of_mlx_decide(loaded, prompt):
    model, tokenizer = loaded
    for sampler in (make_sampler(temp=1.0), make_sampler(temp=0.8, top_p=0.9, min_p=0.01)):
        texts = []
        for seed in (1, 1, 2):
            mx.random.seed(seed)
            texts.append(generate(model, tokenizer, prompt, max_tokens=12, sampler=sampler))
        assert texts[0] == texts[1] != texts[2]


def test_logits_processors_show_in_logprobs(loaded):
    model, tokenizer = loaded
    processors = make_logits_processors({50: 2000.0, 60: -2000.0})
    (response,) = stream_generate(model, tokenizer, "hello", max_tokens=1, logits_processors=processors)
    assert response.token == 50 and response.finish_reason == "length"
    assert response.logprobs[50].item() == 0 and response.logprobs.argmin().item() == 60


def test_the_end_token_comes_last_as_in_mlx_lm(loaded):
    model, tokenizer = loaded
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Say yes."}], add_generation_prompt=True)
    *others, last = stream_generate(model, tokenizer, prompt, max_tokens=200)
    assert last.finish_reason == "stop" and last.token in tokenizer.eos_token_ids
    assert all(r.finish_reason is None for r in others)
    assert last.logprobs.argmax().item() == last.token
    assert "".join(r.text for r in others) + last.text == generate(model, tokenizer, prompt, max_tokens=200)


def test_a_batch_gives_each_prompt_what_it_gets_alone(loaded):
    model, tokenizer = loaded
    asks = ["Write a story about Einstein", "Hi", "What time is it?", "How tall is Mt Everest?"]
    prompts = [tokenizer.apply_chat_template([{"role": "user", "content": a}], add_generation_prompt=True) for a in asks]
    batch = batch_generate(model, tokenizer, prompts, max_tokens=[2, 3, 4, 5], return_token_ids=True, return_logprobs=True)
    for i, prompt in enumerate(prompts):
        alone = list(stream_generate(model, tokenizer, prompt, max_tokens=i + 2))
        assert batch.token_ids[i] == [r.token for r in alone]
        wanted = [r.logprobs[r.token].item() for r in alone]
        np.testing.assert_allclose(batch.logprobs[i], wanted, atol=1e-4)
    assert batch.stats.prompt_tokens == sum(map(len, prompts)) and batch.stats.generation_tokens == 14


def test_a_batch_takes_processors_and_samplers(loaded):
    model, tokenizer = loaded
    prompts = [tokenizer.encode("hello"), tokenizer.encode("bye")]
    seen = []

    def listen(tokens, logits):
        seen.append(tokens.tolist())
        return logits

    biased = batch_generate(
        model, tokenizer, prompts, max_tokens=2, return_token_ids=True, logits_processors=[*make_logits_processors({50: 2000.0}), listen]
    )
    assert biased.token_ids == [[50, 50]] * 2 and all(prompt in seen for prompt in prompts)
    drawn = batch_generate(model, tokenizer, prompts, max_tokens=2, return_token_ids=True, sampler=lambda _: mx.array([17]))
    assert drawn.token_ids == [[17, 17]] * 2
    assert generate(model, tokenizer, "hello", max_tokens=3, logits_processors=make_logits_processors({50: 2000.0})) == tokenizer.decode([50] * 3)


def test_converting_takes_mlx_lms_arguments(home):
    """Bits are compared with mlx.quantize's in tests/golden/test_convert.py too; here, what a predicate leaves out."""
    floats, made = str(home / "floats"), str(home / "made")
    sluice.mlx_lm.convert(TINY_MOE, floats, dequantize=True, dtype="float32")
    sluice.mlx_lm.convert(floats, made, quantize=True, q_bits=4, q_group_size=32, quant_predicate=lambda path, *_: "o_proj" not in path)
    ours, source = (mx.load(f"{of}/model.safetensors") for of in (made, floats))
    assert not any("o_proj" in name and name.endswith("scales") for name in ours)
    projection = "model.layers.1.self_attn.q_proj"
    wanted = mx.quantize(source[f"{projection}.weight"], group_size=32, bits=4)
    for part, value in zip(("weight", "scales", "biases"), wanted, strict=True):
        assert mx.array_equal(ours[f"{projection}.{part}"], value)
    with pytest.raises(sluice.BadRequest, match="is there already"):
        sluice.mlx_lm.convert(TINY_MOE, made)
    with pytest.raises(sluice.Unsupported, match="dtype"):
        sluice.mlx_lm.convert(TINY_MOE, str(home / "none"), dtype="int8")


def test_a_prompt_cache_goes_on_where_it_was(loaded, prompt, home):
    model, tokenizer = load(CHAT_MODEL)
    cache = make_prompt_cache(model)
    first = list(stream_generate(model, tokenizer, prompt, max_tokens=5, prompt_cache=cache))
    timeline = prompt + [r.token for r in first]
    assert cache.tokens == timeline
    more = tokenizer.encode("\nAnd", add_special_tokens=False)
    wanted = generate(model, tokenizer, timeline + more, max_tokens=6)
    save_prompt_cache(str(home / "a.safetensors"), cache, {"a": "b"})
    again, metadata = load_prompt_cache(str(home / "a.safetensors"), return_metadata=True)
    assert metadata == {"a": "b"} and again.tokens == timeline
    assert generate(model, tokenizer, more, max_tokens=6, prompt_cache=cache) == wanted
    assert generate(model, tokenizer, more, max_tokens=6, prompt_cache=again) == wanted
    response = batch_generate(
        model, tokenizer, [more], prompt_caches=[load_prompt_cache(str(home / "a.safetensors"))], max_tokens=6, return_prompt_caches=True
    )
    assert response.texts == [wanted] and response.caches[0].tokens[: len(timeline)] == timeline
    assert trim_prompt_cache(again, 10**6) == len(cache.tokens) and again.tokens == []
    model.close()


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"{}", b"\x04" + bytes(7) + b"null", bytes(100)])
def test_a_file_that_is_no_prompt_cache_is_refused(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(sluice.BadModel, match="x.safetensors"):
        load_prompt_cache(str(tmp_path / "x.safetensors"))


@pytest.mark.parametrize(
    ("argument", "value"),
    [("kv_bits", 3), ("input_embeddings", mx.zeros((1, 4))), ("prefill_step_size", 64), ("draft_model", object())],
)
def test_an_argument_that_is_not_honoured_is_an_error(loaded, argument, value):
    with pytest.raises(sluice.Unsupported, match=f"{argument} is not honoured; "):
        generate(*loaded, "hello", **{argument: value})


def test_what_belongs_to_an_argument_that_is_honoured_may_not_be(loaded):
    for more in ({"kv_group_size": 32}, {"quantized_kv_start": 0}):
        with pytest.raises(sluice.Unsupported, match=f"{next(iter(more))} is not honoured; "):
            generate(*loaded, "hello", kv_bits=8, **more)
    with pytest.raises(sluice.Unsupported, match="num_draft_tokens is not honoured; "):
        generate(*loaded, "hello", draft_model=loaded[0], num_draft_tokens=3)


def test_a_draft_model_changes_no_token_and_few_bits_are_the_engines(loaded, prompt):
    model, tokenizer = loaded
    asked = {"max_tokens": 12, "prompt": prompt}
    draft, _ = load(CHAT_MODEL)
    drafted = [r.token for r in stream_generate(model, tokenizer, draft_model=draft, **asked)]
    assert drafted == [r.token for r in stream_generate(model, tokenizer, **asked)]
    for lossy in ({"kv_bits": 8}, {"max_kv_size": 8}):
        assert generate(model, tokenizer, **lossy, **asked) == generate(*load(CHAT_MODEL, **lossy), **asked)
    bounded = batch_generate(model, tokenizer, [prompt], max_tokens=12, max_kv_size=8).texts
    assert bounded == [generate(model, tokenizer, max_kv_size=8, **asked)]
    draft.close()
    with load(CHAT_MODEL, ram="1GB")[0] as bounded, pytest.raises(sluice.Unsupported, match="give load"):
        generate(bounded, tokenizer, draft_model=model, **asked)


def test_unknown_arguments_and_loads_are_errors(loaded):
    for call in (generate, batch_generate):
        with pytest.raises(sluice.BadRequest, match="has no argument temp"):
            call(*loaded, [[1]] if call is batch_generate else "hello", temp=0.7)
    with pytest.raises(sluice.Unsupported, match="adapter_path"):
        load(CHAT_MODEL, adapter_path="adapters")
    with pytest.raises(ValueError):
        generate(*loaded, "hello", max_tokens=0)


def test_the_readmes_examples_run_with_the_import_changed(home):
    script = HERE / "examples/mlx_lm_scripts.py"
    done = subprocess.run([sys.executable, script, CHAT_MODEL], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "Generation: 12 tokens" in done.stdout and "{'who': 'Einstein'}" in done.stdout


def test_mlx_flash_runs_within_its_budget(loaded, prompt):
    from sluice.mlx_flash import FlashConfig, FlashManager

    manager = FlashManager(FlashConfig(ram_budget_gb=1.0))
    model, tokenizer = manager.load(CHAT_MODEL)
    assert model.engine.residency["budget"] == 10**9
    assert "".join(model.stream_generate(prompt, max_tokens=8)) == generate(*loaded, prompt, max_tokens=8)
    model.engine.close()
    with pytest.raises(sluice.Unsupported, match="kv_quant"):
        FlashConfig(ram_budget_gb=1.0, kv_quant=8)
