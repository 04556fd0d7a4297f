"""The things that mlx-lm's README shows, with the import changed: run and type-checked by the tests."""

import sys
import tempfile

from sluice.mlx_lm import batch_generate, generate, load, stream_generate
from sluice.mlx_lm.models.cache import load_prompt_cache, make_prompt_cache, save_prompt_cache
from sluice.mlx_lm.sample_utils import make_logits_processors, make_sampler

model, tokenizer = load(sys.argv[1])
messages = [{"role": "user", "content": "Write a story about Einstein"}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)

text = generate(model, tokenizer, prompt=prompt, verbose=True, max_tokens=12)
responses = list(stream_generate(model, tokenizer, prompt, max_tokens=12))
assert "".join(response.text for response in responses) == text
assert responses[-1].finish_reason == "length" and responses[-1].generation_tokens == 12
assert responses[-1].logprobs.shape == (model.vocab_size,)

batch = batch_generate(model, tokenizer, [prompt, tokenizer.encode("Hi")], max_tokens=12, verbose=True)
assert batch.texts[0] == text

sampler = make_sampler(temp=0.7, top_p=0.9)
processors = make_logits_processors(repetition_penalty=1.1)
generate(model, tokenizer, prompt, sampler=sampler, logits_processors=processors, max_tokens=12)

cache = make_prompt_cache(model)
generate(model, tokenizer, prompt, max_tokens=4, prompt_cache=cache)
file = tempfile.mkdtemp() + "/einstein.safetensors"
save_prompt_cache(file, cache, {"who": "Einstein"})
cache, metadata = load_prompt_cache(file, return_metadata=True)
follow_up = tokenizer.encode("\nAnd then", add_special_tokens=False)
went_on = generate(model, tokenizer, follow_up, max_tokens=8, prompt_cache=cache)
print(metadata, repr(went_on), len(cache.tokens))
