"""Errors that a user can cause, one line each.

Error (exit status 1)
`- UsageError (exit status 2)
   `- Refusal
"""


class Error(Exception):
    """A failure: the message says what, where, and what to do."""

    exit_status = 1


class UsageError(Error):
    """The arguments ask for something that the command cannot do."""

    exit_status = 2


class Refusal(UsageError):
    """A validator in `copier.yml` rejects the answer to an option."""

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option


def one_line(error: Exception) -> str:
    """An error's message on one line: of the operating system, with the file; of a program, its own output."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    said = getattr(error, "stderr", "") or str(error)
    return " ".join(said.split())
