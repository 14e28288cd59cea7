"""The errors of the model wing: each knows its exit code and what to do next."""


class ModelWingError(Exception):
    """A failure that the user can mend.

    Parameters
    ----------
    message
        What is wrong and where: a file with its key or line.
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


class ConfigurationError(ModelWingError):
    """A contract, a policy or a bundle that cannot be used."""

    exit_code = 2


class DataError(ModelWingError):
    """A table that cannot be read, or is not fit to train on."""


class ExportError(ModelWingError):
    """An ONNX model that does not answer as the pipeline that it came from."""
