"""What keeps an application from being checked."""


class Problem(Exception):
    """One line that says what is wrong and what to do."""


def one_line(text: object) -> str:
    """Return a text in one line."""
    return " ".join(str(text).split())
