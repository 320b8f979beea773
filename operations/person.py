"""Who is told what a command does, and who is asked?"""

from typing import Protocol


class Person(Protocol):
    """Who runs the command."""

    def tell(self, text: str) -> None:
        """Show a line."""

    def ask(self, question: str) -> str:
        """Return the answer; an empty text if there is none."""


class Terminal:
    """A person at a terminal, or nobody if there is no input."""

    def tell(self, text: str) -> None:
        """Print a line at once, also into a file."""
        print(text, flush=True)

    def ask(self, question: str) -> str:
        """Read a line."""
        try:
            return input(question).strip()
        except EOFError:
            return ""


def says_yes(person: Person, question: str) -> bool:
    """Ask, and return whether the answer is yes, or y; whatever else it is, is no."""
    return person.ask(question).lower() in {"yes", "y"}
