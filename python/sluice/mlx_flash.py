"""mlx_flash's FlashConfig and FlashManager, by Sluice: models larger than memory, to the same bits."""

from collections.abc import Iterator
from typing import Any

from ._api import Engine
from .errors import BadRequest
from .mlx_lm._refuse import refuse
from .mlx_lm.generate import generate, stream_generate
from .mlx_lm.utils import TokenizerWrapper, load


class FlashConfig:
    """ram_budget_gb: most memory of this whole process, GB (10^9 bytes), weights, keys and values included."""

    def __init__(self, ram_budget_gb: float = 2.0, *, enabled: bool = True, **others: Any) -> None:
        if not ram_budget_gb > 0:
            raise BadRequest(f"FlashConfig: ram_budget_gb is {ram_budget_gb}, it must be positive")
        refuse("FlashConfig", dict(others), {name: (None, "Sluice plans by itself (`sluice plan`)") for name in others})
        self.ram_budget_gb = ram_budget_gb
        self.enabled = enabled


class FlashModel:
    """A model that streams from disk what its budget does not hold."""

    def __init__(self, engine: Engine, tokenizer: TokenizerWrapper) -> None:
        self.engine = engine
        self.tokenizer = tokenizer

    def stream_generate(self, prompt: Any, max_tokens: int = 256, **kwargs: Any) -> Iterator[str]:
        """The answer's text, piece by piece; the rest as sluice.mlx_lm.stream_generate()."""
        for response in stream_generate(self.engine, self.tokenizer, prompt, max_tokens, **kwargs):
            yield response.text

    def generate(self, prompt: Any, max_tokens: int = 256, **kwargs: Any) -> str:
        return generate(self.engine, self.tokenizer, prompt, max_tokens=max_tokens, **kwargs)


class FlashManager:
    """Loads models within a FlashConfig."""

    def __init__(self, config: FlashConfig | None = None) -> None:
        self.config: FlashConfig = config or FlashConfig()

    def load(self, path_or_hf_repo: str) -> tuple[FlashModel, TokenizerWrapper]:
        """Raises OverBudget, with the smallest budget that would do, and as sluice.mlx_lm.load()."""
        ram = round(self.config.ram_budget_gb * 1e9) if self.config.enabled else None
        engine, tokenizer = load(path_or_hf_repo, ram=ram)
        return FlashModel(engine, tokenizer), tokenizer
