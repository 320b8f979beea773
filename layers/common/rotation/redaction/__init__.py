"""Keeps secrets out of every text that leaves this program; start reading at `rotation.redaction.redactor`."""

from rotation.redaction.redactor import (
    LONGEST,
    LONGEST_READ,
    MASK,
    QUOTED,
    SHORTEST_MASKED,
    Redactor,
    concealed,
    redacting,
    said,
)

__all__ = [
    "LONGEST",
    "LONGEST_READ",
    "MASK",
    "QUOTED",
    "SHORTEST_MASKED",
    "Redactor",
    "concealed",
    "redacting",
    "said",
]
