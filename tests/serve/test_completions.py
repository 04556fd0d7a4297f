"""/v1/completions beyond one prompt and one answer."""

import json
import math

ASKED = {"max_tokens": 6, "temperature": 0}


def complete(server, **body) -> dict:
    status, answer = server.post("/v1/completions", ASKED | body)
    assert status == 200, answer
    return answer


def test_several_prompts_get_the_answers_that_each_would_get_alone(server):
    prompts = ["Once upon", "The sea", "Numbers: 1 2"]
    alone = [complete(server, prompt=prompt, n=2, seed=3, temperature=1) for prompt in prompts]
    together = complete(server, prompt=prompts, n=2, seed=3, temperature=1)
    assert [choice["index"] for choice in together["choices"]] == list(range(6))
    assert [c["text"] for c in together["choices"]] == [c["text"] for one in alone for c in one["choices"]]
    assert together["usage"]["prompt_tokens"] == sum(one["usage"]["prompt_tokens"] for one in alone)
    assert together["usage"]["completion_tokens"] == sum(one["usage"]["completion_tokens"] for one in alone)

    _, _, content = server.request("POST", "/v1/completions", ASKED | {"prompt": prompts, "stream": True})
    texts = [""] * 3
    for line in content.decode().splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                texts[choice["index"]] += choice["text"]
    assert texts == [choice["text"] for choice in complete(server, prompt=prompts)["choices"]]


def test_a_prompt_is_scored_as_if_it_had_been_generated(server):
    generated = complete(server, prompt="Once upon a time", logprobs=2, max_tokens=8)["choices"][0]
    whole = "Once upon a time" + generated["text"]
    scored = complete(server, prompt=whole, echo=True, logprobs=2, max_tokens=0)["choices"][0]
    assert scored["text"] == whole
    lists = scored["logprobs"]
    assert "".join(lists["tokens"]) == whole and len(set(map(len, lists.values()))) == 1
    assert lists["text_offset"][:2] == [0, len(lists["tokens"][0])]
    n = len(generated["logprobs"]["tokens"])
    if lists["tokens"][-n:] == generated["logprobs"]["tokens"]:  # else the text has other tokens than were generated
        assert lists["token_logprobs"][-n:] == generated["logprobs"]["token_logprobs"]
        assert lists["top_logprobs"][-n:] == generated["logprobs"]["top_logprobs"]
    known = [logprob for logprob in lists["token_logprobs"] if logprob is not None]
    assert len(known) >= len(lists["tokens"]) - 1 and all(math.isfinite(logprob) and logprob <= 0 for logprob in known)


def test_a_grammar_of_llama_cpp_is_kept(server):
    body = {"prompt": "Names:", "n_predict": 40, "temperature": 1.5, "seed": 1}
    grammar = 'root ::= item{2} end\nitem ::= "- " [A-Z] [a-z]{1,3} "\\n"\nend ::= "."'
    status, answer = server.post("/completion", body | {"grammar": grammar})
    assert status == 200
    first, second, end = answer["content"].split("\n")
    assert end == "." and all(line.startswith("- ") and 4 <= len(line) <= 6 for line in (first, second))
    status, answer = server.post("/completion", body | {"grammar": "root ::= missing"})
    assert status == 400 and "missing" in answer["error"]["message"]


def test_a_gap_is_refused_by_a_model_without_tokens_for_it(server):
    status, answer = server.post("/v1/completions", ASKED | {"prompt": "a", "suffix": "b"})
    assert (status, answer["error"]["param"]) == (400, "suffix")
