"""The binding under many threads at once: nothing hangs, nothing is lost, and every answer that ran to its end is the one that a
quiet engine gives. SLUICE_STRESS_ROUNDS makes it longer."""

import gc
import os
import random
import threading

import sluice
from conftest import TINY_MOE

ROUNDS = int(os.environ.get("SLUICE_STRESS_ROUNDS", "25"))
THREADS = 8


def test_answers_stay_right_while_everything_happens_at_once():
    engine = sluice.load(str(TINY_MOE))
    prompts = [[1, 2, 3], [4, 5, 6, 7], list(range(8, 40))]
    wanted = [engine.generate(prompt, max_tokens=6, ignore_eos=True).tokens for prompt in prompts]
    wrong: list[object] = []

    def one_round(draw: random.Random) -> None:
        i = draw.randrange(len(prompts))
        kind = draw.choice(["generate", "session", "cancel", "drop", "hook", "logits", "raise", "reopen"])
        if kind == "generate":
            assert engine.generate(prompts[i], max_tokens=6, ignore_eos=True).tokens == wanted[i]
        elif kind == "session":
            session = engine.session()
            assert session.generate(prompts[i], max_tokens=6, ignore_eos=True).tokens == wanted[i]
            assert session.generate(prompts[i], max_tokens=6, ignore_eos=True).tokens == wanted[i]
        elif kind == "cancel":
            stream = engine.stream(prompts[i], max_tokens=400, ignore_eos=True)
            next(stream)
            threading.Thread(target=stream.cancel).start()
            tokens = stream.read().tokens
            assert tokens[:6] == wanted[i][: len(tokens)]
        elif kind == "drop":
            engine.stream(prompts[i], max_tokens=400, ignore_eos=True, logits=True)
        elif kind == "hook":
            hooks = {"logits_processors": [lambda tokens, logits: None], "sampler": lambda logits: logits.argmax()}
            assert engine.generate(prompts[i], max_tokens=6, ignore_eos=True, **hooks).tokens == wanted[i]
        elif kind == "logits":
            assert int(engine.logits(prompts[i])[-1].argmax()) == wanted[i][0]
        elif kind == "raise":
            try:
                engine.generate(prompts[i], max_tokens=6, sampler=lambda _: 1 // 0)
            except ZeroDivisionError:
                return
            raise AssertionError("the sampler's exception was lost")
        else:
            with sluice.load(str(TINY_MOE), threads=1) as other:
                assert other.generate(prompts[i], max_tokens=6, ignore_eos=True).tokens == wanted[i]

    def work(seed: int) -> None:
        draw = random.Random(seed)
        try:
            for n in range(ROUNDS):
                one_round(draw)
                if n % 7 == 0:
                    gc.collect()
        except BaseException as error:  # noqa: BLE001
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert not any(thread.is_alive() for thread in threads) and wrong == []
    engine.close()
