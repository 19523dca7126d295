"""The root of edgequant's error tree, and the errors that the runtime raises."""


class EdgequantError(Exception):
    """What went wrong, where, what was got and expected, and what to do about it.

    ``str(error)`` is the message for a person: one line, then the facts, then a ``hint:`` line.
    ``exit_code`` is the process's exit status: 1 failure, 2 usage or recipe, 3 gate failed.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: object = "", got: object = "", expected: object = "", hint: str = ""
    ) -> None:
        facts = (("where", where), ("got", got), ("expected", expected), ("hint", hint))
        super().__init__("\n".join([what, *(f"  {name}: {value}" for name, value in facts if str(value))]))


class UsageError(EdgequantError):
    """Something that the user typed does not exist or does not fit."""

    exit_code = 2


class BundleError(EdgequantError):
    """A bundle is incomplete, altered, of another schema, or does not do what its manifest says."""


class TextError(EdgequantError):
    """Text input cannot be read."""


class ContextError(TextError):
    """A prompt and what shall follow it have no room in a language model's context."""


class EngineError(Exception):
    """onnxruntime's own message, from either engine; whoever runs a model says in an EdgequantError what failed."""
