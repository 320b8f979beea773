"""How are many questions asked in one message, and how long does an answer hold?

A rotation compares two roles, makes one like the other, and compares them again. Most of what it asks is asked each
time, and a round trip costs more than an answer. So what is asked about every pair is asked in one message, and no
question is asked twice until its answer can be another one:

    an answer ends with      because
    any statement of ours    it can have changed what was read. COMMENT too, which locks the pair: what is read before
                             the lock is read again behind it, for another invocation can have been at work meanwhile
    commit, rollback         others go on, and what we did can be gone
    work in other databases  sessions of ours do it: roles and memberships are the same ones everywhere
    `forget`                 others can have changed something: a call of the strategy begins, or a comparison has ended

A question is known by its text, with the oids in it. So if a name stands for another role than before, that is another
question. Which reading protects what is in docs/decisions/postgresql-reads-once.md.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

type Arguments = Sequence[object] | Mapping[str, object]
type Rows = list[tuple[Any, ...]]

MOST_BYTES = 100_000
"""How long one of several answers can be. A longer one does not come: the question is then asked by itself, and the
bounds of one answer count for it (`rotation.engines.postgresql.wire`)."""

ONE_OF_SEVERAL = (
    "(SELECT CASE WHEN octet_length(found) <= {most} THEN found END"
    " FROM (SELECT coalesce(json_agg(r)::text, '[]') AS found FROM ({question}) r) a)"
)


class Question(NamedTuple):
    """A query that changes nothing. Its columns are texts, numbers, booleans, or arrays of these."""

    query: str
    arguments: Arguments = ()


def joined(questions: Iterable[str]) -> str:
    """Return the one query that asks all of these. It has one row, with a column for each."""
    return f"SELECT {', '.join(ONE_OF_SEVERAL.format(most=MOST_BYTES, question=one) for one in questions)}"


def rows(answer: str) -> Rows:
    """Return the rows of one of several answers."""
    found: Rows = READER.decode(answer)
    return found


def _row(columns: Sequence[tuple[str, Any]]) -> tuple[Any, ...]:
    """Return the values: several columns of a query can have one name."""
    return tuple(value for _, value in columns)


READER = json.JSONDecoder(object_pairs_hook=_row)
"""Made once: json.loads makes one for each answer, which takes longer than most answers."""
