"""Which secrets are to be attached because of their tag, and which to be detached?

A secret that carries the tag is attached to the function of its engine. A secret that lost the tag is detached, but
only if the tag attached it: our mark on the secret says so (`rotation.watch.tags.Mark`), and it must name the function
that the secret has. Everything else belongs to whoever did it:

    the secret               carries the tag                             does not
    -----------------------  ------------------------------------------  --------------------
    rotates by our mark      kept; attached anew if engine or            detached
                             rules changed
    was begun, not finished  attached                                    detached, if it rotates
    is off on purpose        nothing: a tag says so (`attached`)         the mark is cleared
    was switched off since   an error: we do not undo what somebody did  the mark is cleared
    rotates by other means,
    with the right function  left alone, and reported                    nothing
    with another function    an error                                    nothing
    does not rotate          attached                                    nothing
    is a replica             nothing if the tag attached its primary;    nothing
                             else an error
    belongs to a service     an error                                    nothing

A mark that is cleared says "detached" while the secret does not rotate, so that the watch does not report it as off.
Once something else rotates the secret, the mark says nothing: the watch is to report it if it is turned off again.

The mark is written before the secret is attached, as unfinished, and again after that. So a run that is killed at any
moment leaves a state in this table, and the next run goes on from there. A secret is detached first and the mark
cleared then. All of this is decided without a call; `rotation.watch.attaching` makes the calls.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Self

from rotation.errors import NotAttachable
from rotation.values import dataclass
from rotation.watch.attached import DETACHED, OFF_INTENDED, IsOurs, if_off, unqualified
from rotation.watch.tags import AUTO, Mark, Rules, TagKeys, Wish

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef, SecretListEntryTypeDef


@dataclass(frozen=True)
class TaggedSecret:
    """A secret that carries the tag, or our mark."""

    arn: str
    function_arn: str
    """Without a version or an alias; empty if the secret names none."""
    rotates: bool
    """If not, the secret can still name a function."""
    tags: Mapping[str, str]
    primary_region: str
    """The Region whose replica this is; empty if it is none."""
    owner: str
    """The service that manages the secret; empty if it is the account's own."""
    is_deleted: bool = False

    @classmethod
    def parse(cls, said: "SecretListEntryTypeDef | DescribeSecretResponseTypeDef") -> Self:
        """Read an entry of the list, or a description: the keys are the same."""
        arn = said["ARN"]
        primary = said.get("PrimaryRegion", "")
        return cls(
            arn,
            unqualified(said.get("RotationLambdaARN", "")),
            said.get("RotationEnabled", False),
            {tag.get("Key", ""): tag.get("Value", "") for tag in said.get("Tags", [])},
            "" if primary == arn.split(":")[3] else primary,
            said.get("OwningService", ""),
            "DeletedDate" in said,
        )


class Act(Enum):
    """What is to be done."""

    NOTHING = auto()
    KEEP = auto()
    LEAVE = auto()
    ATTACH = auto()
    DETACH = auto()
    CLEAR = auto()


ACTS = frozenset({Act.ATTACH, Act.DETACH, Act.CLEAR})
"""Those that need a call."""


@dataclass(frozen=True)
class Stack:
    """What the stack's parameters say."""

    keys: TagKeys
    defaults: Rules
    functions: Mapping[str, str]
    """The functions' ARNs by engine, of those that are deployed."""
    is_ours: IsOurs
    """Recognises the functions that the stack has, had or will have."""

    def wish(self, secret: TaggedSecret) -> Wish:
        """Return what the secret's tags ask for; raises NotAttachable."""
        return Wish.parse(secret.tags, self.keys, self.defaults, operation(secret))

    def mark(self, secret: TaggedSecret) -> Mark:
        """Return our mark; none if another stack made it."""
        mark = Mark.parse(secret.tags.get(self.keys.attached, ""))
        return mark if self.is_ours(mark.function_arn) else Mark()

    def function_of(self, engine: str, secret: TaggedSecret) -> str:
        """Return the ARN of an engine's function; raises NotAttachable if the engine is not deployed."""
        if function_arn := self.functions.get(engine):
            return function_arn
        raise NotAttachable(
            operation(secret),
            f"this stack has no function for {engine}",
            "Set the parameter Deploy… of this engine to true, and deploy",
        )

    def fits(self, engine: str, function_arn: str) -> bool:
        """Tell whether a function can be the right one; with AUTO, each of ours can."""
        return self.is_ours(function_arn) if engine == AUTO else self.functions.get(engine) == function_arn


def decide(secret: TaggedSecret, stack: Stack) -> Act:
    """Return what is to be done with a secret, by the table above. Raises NotAttachable."""
    if secret.is_deleted:
        return Act.NOTHING
    if stack.keys.engine not in secret.tags:
        return _without_tag(secret, stack)
    if secret.primary_region:
        return _replica(secret, stack)
    if secret.owner:
        remedy = f"Remove the tag {stack.keys.engine} from the secret"
        raise NotAttachable(operation(secret), f"{secret.owner} manages the secret and rotates it", remedy)
    return _with_tag(secret, stack, stack.wish(secret))


def is_attached_by_tag(secret: TaggedSecret, stack: Stack) -> bool:
    """Tell whether the secret rotates because of its tag."""
    mark = stack.mark(secret)
    named = secret.function_arn == mark.function_arn or (not mark.digest and stack.is_ours(secret.function_arn))
    return secret.rotates and bool(mark.function_arn) and named


def operation(secret: TaggedSecret) -> str:
    """Name what was being done, for errors."""
    return f"attaching {secret.arn} by its tag"


def _without_tag(secret: TaggedSecret, stack: Stack) -> Act:
    if secret.primary_region:
        return Act.NOTHING
    if is_attached_by_tag(secret, stack):
        return Act.DETACH
    is_stale = secret.rotates and secret.tags.get(stack.keys.attached) == DETACHED
    return Act.CLEAR if stack.mark(secret).function_arn or is_stale else Act.NOTHING


def _with_tag(secret: TaggedSecret, stack: Stack, wish: Wish) -> Act:
    mark = stack.mark(secret)
    if wish.engine != AUTO:
        stack.function_of(wish.engine, secret)
    if is_attached_by_tag(secret, stack):
        same = stack.fits(wish.engine, secret.function_arn) and mark.digest == wish.rules.digest
        return Act.KEEP if same else Act.ATTACH
    if not secret.rotates:
        if OFF_INTENDED in secret.tags:
            return Act.NOTHING
        _refuse_switched_off(secret, mark)
        return Act.ATTACH
    if stack.fits(wish.engine, secret.function_arn):
        return Act.LEAVE
    raise NotAttachable(
        operation(secret),
        f"something else than its tag attached it to {secret.function_arn or 'a rotation without a function'}",
        f"Run aws secretsmanager cancel-rotate-secret --secret-id {secret.arn} if this stack is to rotate the secret",
    )


def _replica(secret: TaggedSecret, stack: Stack) -> Act:
    """Leave a replica alone: its tags are those of its primary, which rotates for both."""
    mark = Mark.parse(secret.tags.get(stack.keys.attached, ""))
    if mark.digest and mark.function_arn.split(":")[3] == secret.primary_region:
        return Act.NOTHING
    raise NotAttachable(
        operation(secret),
        f"it is a replica of a secret in {secret.primary_region}, and only that one can be attached",
        f"Create this stack in {secret.primary_region}, too, with the same AttachTagKey",
    )


def _refuse_switched_off(secret: TaggedSecret, mark: Mark) -> None:
    if mark.digest and mark.function_arn == secret.function_arn:
        cause = "its tag attached it, and somebody turned its rotation off"
        raise NotAttachable(operation(secret), cause, if_off(secret.arn))
