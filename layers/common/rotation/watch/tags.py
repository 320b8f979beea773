"""What do the tags of a secret ask for, and what do they remember?

AttachTagKey, for example `secret-rotation`, is the first of five keys:

    secret-rotation              the engine: postgresql, mysql, mariadb, oracle, sqlserver, db2; or auto
    secret-rotation-schedule     how often, for example `7 days`; else the stack's ScheduleExpression
    secret-rotation-window       how many hours long, for example `3h`; else the stack's ScheduleDuration
    secret-rotation-immediately  `true`: rotate once as soon as the secret is attached
    secret-rotation-attached     ours: what was attached by tag, so that nothing else is ever detached

The values need no characters that AWS does not promise for tags. `rate(7 days)` has parentheses, which it does not
promise (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_TagResource.html).
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Self

from rotation.environment import BOOLEANS
from rotation.errors import NotAttachable
from rotation.values import dataclass
from rotation.watch.attached import MARK_SUFFIX

AUTO = "auto"
ENGINES = {
    "postgresql": "postgres",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "oracle": "oracle",
    "sqlserver": "sqlserver",
    "db2": "db2",
}
"""The values of the tag, and how RDS's names of that engine begin."""

VARIABLES = {
    "postgresql": "POSTGRESQL_FUNCTION_ARN",
    "mysql": "MYSQL_FUNCTION_ARN",
    "mariadb": "MARIADB_FUNCTION_ARN",
    "oracle": "ORACLE_FUNCTION_ARN",
    "sqlserver": "SQLSERVER_FUNCTION_ARN",
    "db2": "DB2_FUNCTION_ARN",
}
"""The environment variables with the functions' ARNs; one is empty if its engine is not deployed."""

SHORT = re.compile(r"[1-9][0-9]* (hours?|days?)")
EXPRESSION = re.compile(r"(rate|cron)\(.+\)")
WINDOW = re.compile(r"([1-9]|1[0-9]|2[0-4])h")

UNFINISHED = "attaching"
FUNCTION = r"arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]+"
MARK = re.compile(rf"(?:{UNFINISHED} )?(?P<function>{FUNCTION})(?: (?P<digest>[0-9a-f]{{8}}))?")


@dataclass(frozen=True)
class Rules:
    """When a secret rotates, in the words of RotateSecret."""

    schedule: str
    window: str

    @property
    def digest(self) -> str:
        """Tells two rules from each other; a tag could not hold the schedule itself."""
        return hashlib.sha256(f"{self.schedule} {self.window}".encode()).hexdigest()[:8]


@dataclass(frozen=True)
class TagKeys:
    """The five keys."""

    engine: str

    @property
    def schedule(self) -> str:
        """Holds how often the secret rotates."""
        return f"{self.engine}-schedule"

    @property
    def window(self) -> str:
        """Holds how long after that time a rotation can still begin."""
        return f"{self.engine}-window"

    @property
    def immediately(self) -> str:
        """Holds whether the secret rotates as soon as it is attached."""
        return f"{self.engine}-immediately"

    @property
    def attached(self) -> str:
        """Holds our mark."""
        return f"{self.engine}{MARK_SUFFIX}"


@dataclass(frozen=True)
class Wish:
    """What the tags of a secret ask for."""

    engine: str
    """One of ENGINES, or AUTO."""
    rules: Rules
    immediately: bool

    @classmethod
    def parse(cls, tags: Mapping[str, str], keys: TagKeys, defaults: Rules, operation: str) -> Self:
        """Read the tags; raises NotAttachable, which names the key and what it can be."""
        engine, window = tags[keys.engine], tags.get(keys.window, defaults.window)
        word = tags.get(keys.immediately, "false").lower()
        schedule = tags.get(keys.schedule, defaults.schedule)
        short = SHORT.fullmatch(schedule)
        for key, valid, possible in (
            (keys.engine, engine in {*ENGINES, AUTO}, f"one of {', '.join(ENGINES)}, {AUTO}"),
            (keys.schedule, short or EXPRESSION.fullmatch(schedule), "a number of hours or days, for example 7 days"),
            (keys.window, WINDOW.fullmatch(window), "a number of hours up to 24, for example 3h"),
            (keys.immediately, word in BOOLEANS, "true or false"),
        ):
            if not valid:
                raise NotAttachable(
                    operation, f"its tag {key} has a value that is not {possible}", f"Correct the tag {key}"
                )
        return cls(engine, Rules(f"rate({schedule})" if short else schedule, window), BOOLEANS[word])


@dataclass(frozen=True)
class Mark:
    """What was attached by tag; written before a secret is attached, and again after that.

    Anyone with secretsmanager:TagResource on the secret can write it, too: see the threat model.
    """

    function_arn: str = ""
    """The function; empty if nothing is attached by tag."""
    digest: str = ""
    """Of the rules; empty until the secret is attached."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the tag's value; a text that we never write is no mark."""
        if not (match := MARK.fullmatch(text)):
            return cls()
        return cls(match["function"], match["digest"] or "")

    def __str__(self) -> str:
        return f"{self.function_arn} {self.digest}" if self.digest else f"{UNFINISHED} {self.function_arn}"


def engine_word(name: str) -> str | None:
    """Return the value of the tag for RDS's name of an engine; None if it is no engine of ours."""
    plain = name.removeprefix("aurora-").removeprefix("custom-")
    return next((word for word, start in ENGINES.items() if plain.startswith(start)), None)
