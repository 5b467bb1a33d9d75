"""The one error of the scripts."""


class RunError(RuntimeError):
    """The run cannot go on; the message is one line: thing, value, remedy. Commands exit with 1."""
