"""What a user can cause, as one line each.

Error (exit status 1)
`- UsageError (exit status 2)
   `- Refusal
"""


class Error(Exception):
    """A failure: the message says what, where, and what to do."""

    exit_status = 1


class UsageError(Error):
    """The command was asked for something it cannot do."""

    exit_status = 2


class Refusal(UsageError):
    """A validator in `copier.yml` has something against the answer to an option."""

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option


def one_line(error: Exception) -> str:
    """What an error says; one of the operating system, where and what; one of a program, what that has said."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    said = getattr(error, "stderr", "") or str(error)
    return " ".join(said.split())
