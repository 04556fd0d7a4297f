"""The package's own calls: what they give is what the command gives, whichever way it is asked."""

import asyncio
import gc
import json
import subprocess
import threading
import weakref

import numpy as np
import pytest
import sluice
from conftest import BINARY, CHAT_MODEL, TINY_MOE

QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]


def test_an_answer_is_the_commands(model):
    command = [BINARY, "run", CHAT_MODEL, "-p", QUESTION[0]["content"], "-n", "24", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    answer = model.generate(QUESTION, max_tokens=24)
    assert (answer.text, answer.tokens, answer.finish_reason) == (told["text"], told["tokens"], told["finish_reason"])


def test_every_way_to_ask_gives_the_same_tokens(model):
    wanted = model.generate(QUESTION, max_tokens=16)
    stream = model.stream(QUESTION, max_tokens=16)
    tokens = list(stream)
    assert [t.token for t in tokens if t.token >= 0] == wanted.tokens
    assert "".join(t.text for t in tokens) == wanted.text == stream.answer.text

    async def read():
        return [t.token async for t in model.stream(QUESTION, max_tokens=16) if t.token >= 0]

    assert asyncio.run(read()) == wanted.tokens
    batch = sluice.batch_generate(model, [QUESTION, "Once upon a time", QUESTION], max_tokens=16)
    assert [a.tokens for a in batch] == [wanted.tokens, model.generate("Once upon a time", max_tokens=16).tokens, wanted.tokens]
    assert model.session().generate(QUESTION, max_tokens=16).tokens == wanted.tokens
    assert sluice.generate(model, QUESTION, max_tokens=16) == wanted.text


def test_logits_are_the_same_streamed_and_at_once_and_belong_to_numpy(model):
    tokens = model.tokenizer.apply_chat_template(QUESTION)
    all_logits = model.logits(tokens)
    assert all_logits.shape == (len(tokens), model.vocab_size) and all_logits.dtype == np.float32
    assert not all_logits.flags.owndata and all_logits.flags.writeable
    np.testing.assert_array_equal(model.logits(tokens, len(tokens) - 2), all_logits[-2:])
    stream = model.stream(tokens, max_tokens=3, logits=True, top_logprobs=2)
    first, *others = [t for t in stream if t.token >= 0]
    np.testing.assert_array_equal(first.logits, all_logits[-1])
    assert first.token == int(first.logits.argmax()) == first.top_logprobs[0][0]
    shifted = first.logits - first.logits.max()
    assert first.logprob == pytest.approx(shifted[first.token] - np.log(np.exp(shifted).sum()), abs=1e-4)
    kept = [t.logits.copy() for t in others]
    del stream
    gc.collect()
    for before, token in zip(kept, others):
        np.testing.assert_array_equal(before, token.logits)


def test_hooks_that_do_nothing_change_nothing_and_hear_every_token(model):
    wanted = model.generate(QUESTION, max_tokens=12)
    prompt = model.tokenizer.apply_chat_template(QUESTION)
    heard = []

    def listen(tokens, logits):
        heard.append((tokens.tolist(), logits.shape))

    def copy(_tokens, logits):
        return logits.copy()

    answer = model.generate(QUESTION, max_tokens=12, logits_processors=[listen, copy], sampler=lambda logits: logits.argmax())
    assert answer.tokens == wanted.tokens
    assert heard == [(prompt + wanted.tokens[:i], (model.vocab_size,)) for i in range(12)]


def test_a_sampler_decides_and_a_processor_forbids(model):
    assert set(model.generate(QUESTION, max_tokens=6, sampler=lambda logits: 17, ignore_eos=True).tokens) == {17}
    best = model.generate(QUESTION, max_tokens=1).tokens[0]

    def forbid(_tokens, logits):
        logits[best] = -np.inf

    assert best not in model.generate(QUESTION, max_tokens=8, logits_processors=[forbid]).tokens


def test_what_a_hook_raises_reaches_the_reader_and_the_engine_goes_on(model):
    class Mine(Exception):
        pass

    def refuse(tokens, logits):
        if len(tokens) > 40:
            raise Mine("enough")

    with pytest.raises(Mine, match="enough"):
        model.generate(QUESTION, max_tokens=40, logits_processors=[refuse])
    for bad in (lambda logits: -1, lambda logits: model.vocab_size, lambda logits: 1.5, lambda logits: None):
        with pytest.raises((sluice.BadRequest, TypeError)):
            model.generate(QUESTION, max_tokens=4, sampler=bad)
    with pytest.raises(sluice.BadRequest, match="must be None or a float32 array"):
        model.generate(QUESTION, max_tokens=4, logits_processors=[lambda t, logits: logits[:5]])
    assert model.generate(QUESTION, max_tokens=4).tokens


def test_a_seed_decides_in_any_company(model):
    options = {"max_tokens": 12, "temperature": 1.0, "top_k": 50}
    drawn = model.generate(QUESTION, **options)
    assert isinstance(drawn.seed, int)
    batch = sluice.batch_generate(model, [QUESTION, QUESTION], seed=drawn.seed, **options)
    assert [a.tokens for a in batch] == [drawn.tokens] * 2


def test_cancelling_ends_an_answer(model):
    stream = model.stream(QUESTION, max_tokens=2000, ignore_eos=True)
    next(stream)
    stream.cancel()
    assert stream.read().finish_reason == "cancelled"
    cut = model.generate(QUESTION, max_tokens=20, stop="light")
    assert "light" not in cut.text


def test_a_cancelled_task_cancels_its_answer(model):
    streams = []

    async def read():
        streams.append(model.stream(QUESTION, max_tokens=2000, ignore_eos=True))
        async for _ in streams[0]:
            pass

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(read(), 0.5)

    asyncio.run(main())
    assert streams[0].read().finish_reason == "cancelled"


def test_progress_is_told_up_to_the_whole_prompt(model):
    told = []
    answer = model.generate("one two three four five " * 200, max_tokens=1, progress=lambda *now: told.append(now))
    assert told == sorted(told) and told[-1] == (answer.prompt_tokens, answer.prompt_tokens)


def test_a_session_computes_nothing_twice(model):
    session = model.session()
    first = session.generate(QUESTION, max_tokens=8)
    held = session.tokens
    again = session.generate(held + model.tokenizer.encode(" And why?"), max_tokens=8)
    assert again.reused_tokens == len(held) >= first.prompt_tokens
    session.reset()
    assert session.tokens == []


def test_a_draft_model_guesses_and_changes_no_token(model):
    asked = {"max_tokens": 24, "temperature": 0.8, "seed": 3, "ignore_eos": True}
    wanted = model.generate(QUESTION, **asked)
    with sluice.load(CHAT_MODEL, draft_model=CHAT_MODEL, speculate="always") as guessing:
        answer = guessing.generate(QUESTION, **asked)
    assert answer.tokens == wanted.tokens and answer.guessed_tokens >= answer.right_guesses > 0
    with sluice.load(CHAT_MODEL, speculate="off") as plain:
        assert plain.generate(QUESTION, **asked).guessed_tokens == 0
    with pytest.raises(sluice.BadRequest, match="speculation is often"):
        sluice.load(CHAT_MODEL, speculate="often")


def test_a_long_prompt_is_pruned_and_says_so(model):
    tokens = model.tokenizer.encode("one two three four five six seven eight " * 100)
    asked = {"max_tokens": 8, "ignore_eos": True}
    with sluice.load(CHAT_MODEL, snap_kv=768) as pruning:
        answer = pruning.generate(tokens, **asked)
        assert answer.pruned == (768, len(tokens)) and answer.tokens[0] == model.generate(tokens, **asked).tokens[0]
        assert pruning.generate(QUESTION, **asked).pruned is None
    with pytest.raises(sluice.BadRequest, match="snap_kv is 0"):
        sluice.load(CHAT_MODEL, snap_kv=0)


def test_few_bits_of_keys_and_values_begin_where_they_are_not_recent(model):
    tokens = model.tokenizer.encode("one two three four five six seven eight " * 80)
    wanted, first = model.logits(tokens), 256 * 2 + 64
    for bits in (8, "k8v4", 4):
        with sluice.load(CHAT_MODEL, kv_bits=bits, kv_recent=64) as few:
            logits = few.logits(tokens)
        np.testing.assert_array_equal(logits[:first], wanted[:first])
        assert not np.array_equal(logits[first:], wanted[first:])
    for bad in ({"kv_bits": 5}, {"kv_bits": 8, "kv_recent": -1}, {"state_type": "int8"}):
        with pytest.raises(sluice.BadRequest, match=list(bad)[-1]):
            sluice.load(CHAT_MODEL, **bad)
    with pytest.raises(sluice.Unsupported, match="carries a recurrent state"):
        sluice.load(CHAT_MODEL, state_type="bf16")


def test_vectors_are_the_commands_alone_and_together(model):
    texts = ["A text", "Another, longer text"]
    told = json.loads(subprocess.run([BINARY, "embed", CHAT_MODEL, "-p", texts[0], "--json"], capture_output=True, check=True).stdout)
    vectors = model.embed(texts)
    assert vectors.shape == (2, model.hidden_size) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[0], told["vectors"][0], rtol=1e-6)
    np.testing.assert_array_equal(vectors[:1], model.embed([model.tokenizer.encode(texts[0])]))
    np.testing.assert_allclose((vectors**2).sum(-1), 1, rtol=1e-5)
    for bad in ("A text", [[10**6]], [""]):
        with pytest.raises(sluice.BadRequest):
            model.embed(bad)


def test_an_engine_outlives_what_is_made_of_it():
    engine = sluice.load(str(TINY_MOE))
    tokens = [1, 2, 3]
    wanted = engine.logits(tokens)
    session = engine.session() if engine._native.chat_template else None
    gone = weakref.ref(engine)
    del engine
    assert session is None or gone() is not None
    del session
    assert gone() is None  # at once: no collector is waited for
    assert wanted.shape[0] == 3


def test_sessions_and_streams_go_on_when_the_engine_is_closed(model):
    engine = sluice.load(CHAT_MODEL)
    stream = engine.stream(QUESTION, max_tokens=4)
    session = engine.session()
    engine.close()
    assert stream.read().tokens == model.generate(QUESTION, max_tokens=4).tokens
    with pytest.raises(sluice.BadRequest, match="closed"):
        engine.generate(QUESTION)
    session.close()
    with pytest.raises(sluice.BadRequest, match="closed"):
        session.reset()


def test_two_engines_in_two_threads(model):
    wanted = model.generate(QUESTION, max_tokens=10).tokens
    got = {}

    def work(name):
        with sluice.load(CHAT_MODEL) as mine:
            got[name] = [mine.generate(QUESTION, max_tokens=10).tokens for _ in range(3)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {0: [wanted] * 3, 1: [wanted] * 3}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"top_k": 5, "temperature": 0}, "top_k has no effect"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"nonsense": 1}, "no option nonsense"),
        ({"stop": ""}, "stop is empty"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"sampler": len, "top_k": 5}, "beside a sampler"),
        ({"logit_bias": {10**6: 1.0}}, "token 1000000"),
    ],
)
def test_what_cannot_be_honoured_is_an_error(model, options, says):
    with pytest.raises(sluice.BadRequest, match=says):
        model.generate(QUESTION, **options)


@pytest.mark.parametrize("prompt", ["", [], [10**6], [-1], [1.5], 7, [None]])
def test_a_prompt_that_is_none_is_an_error(model, prompt):
    with pytest.raises((sluice.BadRequest, TypeError)):
        model.generate(prompt, max_tokens=1)


def test_errors_are_one_tree(tmp_path, model):
    with pytest.raises(sluice.SluiceError):
        sluice.load("no-such-model-here")
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(sluice.BadModel, match="model.gguf"):
        sluice.load(str(tmp_path / "model.gguf"))
    with pytest.raises(MemoryError) as over:
        sluice.load(CHAT_MODEL, ram="20MB")
    assert isinstance(over.value, sluice.OverBudget)
    with pytest.raises(ValueError, match="activations is 'int7'"):
        sluice.load(CHAT_MODEL, activations="int7")


def test_text_stays_text_unless_it_is_asked_for(model):
    tokenizer = model.tokenizer
    (end,) = tokenizer.encode("<|im_end|>", parse_special=True)
    assert end in tokenizer.eos_token_ids and end not in tokenizer.encode("<|im_end|>")
    assert tokenizer.decode(tokenizer.encode("Grüße, 世界 🎉")) == "Grüße, 世界 🎉"
    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode("世界"))).decode() == "世界"
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "<|im_end|>"}])
    text = tokenizer.apply_chat_template([{"role": "user", "content": "<|im_end|>"}], tokenize=False)
    assert ids != tokenizer.encode(text, parse_special=True) and text.endswith("<|im_start|>assistant\n")
    tokenizer.chat_template = "{{ messages[0].content }}!"
    assert tokenizer.apply_chat_template(QUESTION, tokenize=False) == "Why is the sky blue?!"


def test_a_plan_is_the_commands(home):
    arguments = ["--sim-ram", "8GB", "--sim-disk", "1GB/s", "--sim-bandwidth", "20GB/s", "--json"]
    told = json.loads(subprocess.run([BINARY, "plan", CHAT_MODEL, *arguments], capture_output=True, check=True).stdout)
    plan = sluice.plan(CHAT_MODEL, sim_ram=8 * 10**9, sim_disk=1e9, sim_bandwidth=20e9)
    assert plan.keys() == told.keys()
    assert plan["model"] == told["model"] and plan["file_bytes"] == told["file_bytes"]
