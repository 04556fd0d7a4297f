"""The exceptions of Sluice: one tree. Messages are one line: what, where, got, wanted, what to do."""


class SluiceError(Exception):
    """Everything that Sluice raises on its own account."""


class BadRequest(SluiceError, ValueError):
    """The caller asked for something impossible."""


class BadModel(SluiceError):
    """A model's file is damaged or contradicts itself."""


class Unsupported(SluiceError, NotImplementedError):
    """A well-formed model, argument or option that Sluice does not implement."""


class OverBudget(SluiceError, MemoryError):
    """It does not fit the memory budget (`ram`)."""


class IoError(SluiceError, OSError):
    """A disk or the network failed."""


class InternalError(SluiceError):
    """A mistake of Sluice's own."""
