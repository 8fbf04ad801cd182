"""The one exception that reaches the user as a message instead of a traceback."""


class LabError(Exception):
    """Something the user can mend: the message says what was needed, what came and what to do.

    Args:
        message: shown as it is, without a traceback.
        exit_code: of the command; 2 = bad input, nothing was done.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
