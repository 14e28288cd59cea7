"""The errors of the toolkit: each has an exit code and says what to do next."""


class ToolkitError(Exception):
    """A failure that the user can fix.

    Parameters
    ----------
    message
        What is wrong and where: a file, with its key or line.
    next_step
        What to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message, next_step)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return self.message


class ConfigurationError(ToolkitError):
    """A contract, a policy or a bundle that cannot be used."""

    exit_code = 2


class DataError(ToolkitError):
    """A table that cannot be read, or must not be trained on."""


class ExportError(ToolkitError):
    """An ONNX model whose predictions differ from those of the pipeline it was exported from."""
