"""Delete a stack, and leave no secret behind that nobody rotates unless you say so: `python -m operations.uninstall`.

Before anything is changed, the command lists the secrets of the stack's account and Region that name one of its
functions, and asks what to do with those that rotate: turn their rotation off, give them to another function, or stop.
Then it does that, looks again, lifts the stack's termination protection, deletes the stack, and waits.

It can be interrupted and run again: what was done before is found done. The values of secrets are not read. If the
stack cannot be deleted, it is protected again.

Secrets of other accounts cannot be seen from here. The command says so if the stack serves other accounts.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from operations import rotations, stacks
from operations.calls import Stopped, new_session
from operations.person import Person, Terminal
from rotation.deadline import Deadline
from rotation.errors import RotationError, ServiceFailed
from rotation.watch.attached import AttachedSecret, attached_secrets, unqualified

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import RotationRulesTypeTypeDef

type Later = tuple[AttachedSecret, "RotationRulesTypeTypeDef"]

LISTING_SECONDS = 600.0
"""How long listing the secrets can take."""

AGAIN = "Run this again"
WITH_CHOICE = f"{AGAIN}, with --detach, or with --hand-over-to and the ARN of another function"

LIST_IS_OLD = "A change of the last five minutes can be missing from this list."


@dataclass(frozen=True)
class Choice:
    """What becomes of the secrets that still rotate."""

    new_function: str = ""
    """The ARN of the function that gets them; empty: their rotation is turned off."""


@dataclass(frozen=True)
class Uninstall:
    """One run of the command."""

    cloudformation: stacks.Client
    secrets_manager: "SecretsManagerClient"
    person: Person
    choice: Choice | None = None
    """What was chosen on the command line."""
    asks: bool = True
    """Whether to ask; if not, there must be a choice for each secret that rotates."""
    seconds_between_looks: float = stacks.SECONDS_BETWEEN_LOOKS

    def run(self, name: str) -> None:
        """Delete the stack of this name. Raises Stopped if it must not go, ServiceFailed if AWS refuses."""
        stack = stacks.read(self.cloudformation, name)
        attached = self._attached(stack)
        self._describe(stack, attached)
        rotating = [secret for secret in attached if secret.rotation_enabled]
        _check_none_is_unfinished(rotating)
        choice = self._chosen(rotating) if rotating else Choice()
        if unqualified(choice.new_function) in stack.function_arns:
            _refuse("the other function is one of this stack")
        self._confirm(stack)
        scheduled = [secret for secret in rotating if secret.arn in stack.scheduled_secret_arns]
        self._release([secret for secret in rotating if secret not in scheduled], stack, choice)
        later = self._schedules(scheduled, choice)
        self._delete(stack)
        failures = self._finished(stack, attached, later, choice)
        self._say_what_stays(stack)
        if failures:
            cause, remedy = f"{failures} secrets could not be released", "Do it by hand: docs/uninstalling.md"
            raise Stopped("releasing secrets of a stack that is deleted", cause, remedy)

    def _attached(self, stack: stacks.Stack) -> list[AttachedSecret]:
        began = time.monotonic()
        deadline = Deadline(lambda: began + LISTING_SECONDS - time.monotonic())
        try:
            return attached_secrets(self.secrets_manager, stack.function_arns.__contains__, deadline)
        except ServiceFailed as error:
            remedy = "Allow secretsmanager:ListSecrets to your role; if it is allowed, wait and try again"
            raise ServiceFailed(error.operation, error.cause, remedy) from None

    def _describe(self, stack: stacks.Stack, attached: Sequence[AttachedSecret]) -> None:
        """Say which secrets name the stack's functions, and where more can be."""
        region, account = stack.arn.split(":")[3:5]
        self.person.tell(f"{len(attached)} secrets of account {account} in {region} name a function of {stack.name}.")
        for secret in attached:
            self.person.tell(f"  {secret.name}: {_state(secret, stack)}")
        self.person.tell(LIST_IS_OLD)
        if stack.other_accounts:
            functions = f":{account}:function:{stack.name_prefix}-"
            query = f"SecretList[?RotationLambdaARN && contains(RotationLambdaARN, '{functions}')]"
            self.person.tell(
                f"Secrets of the accounts {', '.join(stack.other_accounts)} can name these functions too, and cannot "
                "be seen from here. Look there first: "
                f'aws secretsmanager list-secrets --region {region} --query "{query}.ARN"'
            )

    def _chosen(self, rotating: Sequence[AttachedSecret]) -> Choice:
        """Return what becomes of the secrets that rotate. Raises Stopped."""
        if self.choice:
            return self.choice
        if not self.asks:
            _refuse(f"secrets still rotate with it ({len(rotating)})", WITH_CHOICE)
        self.person.tell(
            f"{len(rotating)} of them rotate, and would not any more. Detach them (their rotation is turned off, the "
            "passwords stay as they are), hand them over to another function, or stop."
        )
        answer = self.person.ask("detach, hand over, or stop? ")
        if answer == "detach":
            return Choice()
        function = self.person.ask("ARN of the other function: ") if answer == "hand over" else ""
        return Choice(function) if function else _refuse("you stopped")

    def _confirm(self, stack: stacks.Stack) -> None:
        if self.asks and self.person.ask(f"Delete the stack {stack.name}? Type its name: ") != stack.name:
            _refuse("its name was not typed")

    def _release(self, secrets: Sequence[AttachedSecret], stack: stacks.Stack, choice: Choice) -> None:
        """Detach or hand over, and look whether that was done. Raises ServiceFailed, Stopped."""
        for secret in secrets:
            self._let_go(secret, choice)
        for secret in secrets:
            if rotations.function(self.secrets_manager, secret) in stack.function_arns:
                _refuse(f"{secret.name} still rotates with it")

    def _let_go(self, secret: AttachedSecret, choice: Choice) -> None:
        if choice.new_function:
            self._hand_over(secret, choice.new_function, rotations.rules(self.secrets_manager, secret))
        else:
            rotations.turn_off(self.secrets_manager, secret)
            self.person.tell(f"  {secret.name}: its rotation is off")

    def _finished(
        self, stack: stacks.Stack, attached: Sequence[AttachedSecret], later: Sequence[Later], choice: Choice
    ) -> int:
        """Do what can be done only without the stack, with all secrets, also if one fails; return how many failed."""
        work = [
            *(partial(self._hand_over, secret, choice.new_function, rules) for secret, rules in later),
            *(partial(self._release_if_left_behind, secret, stack, choice) for secret in attached),
        ]
        return sum(self._has_failed(one) for one in work)

    def _has_failed(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except RotationError as error:
            if "ResourceNotFoundException" in error.cause:  # the secret was deleted meanwhile
                return False
            self.person.tell(str(error))
            return True
        return False

    def _release_if_left_behind(self, secret: AttachedSecret, stack: stacks.Stack, choice: Choice) -> None:
        """Release a secret that rotates with a function that is gone: nobody would notice.

        CloudFormation turned a secret off with its schedule, or did not. Until it deleted the function that attaches
        secrets by their tag, that one could attach again what was detached here.
        """
        if rotations.function(self.secrets_manager, secret) in stack.function_arns:
            self._let_go(secret, choice)

    def _schedules(self, scheduled: Sequence[AttachedSecret], choice: Choice) -> list[Later]:
        """Return what is handed over after the deletion: to delete a schedule turns the rotation off.

        It is told before, so that nothing is lost if this is interrupted.
        """
        if not choice.new_function:
            return []
        for secret in scheduled:
            self.person.tell(
                f"  {secret.name}: handed over once the stack is deleted. If this is interrupted, run aws "
                f"secretsmanager rotate-secret --secret-id {secret.arn} --rotation-lambda-arn {choice.new_function} "
                "--no-rotate-immediately"
            )
        return [(secret, rotations.rules(self.secrets_manager, secret)) for secret in scheduled]

    def _hand_over(self, secret: AttachedSecret, function: str, rules: "RotationRulesTypeTypeDef") -> None:
        rotations.hand_over(self.secrets_manager, secret, function, rules)
        self.person.tell(f"  {secret.name}: handed over")

    def _delete(self, stack: stacks.Stack) -> None:
        """Lift the protection and delete; protect again if that fails."""
        if stack.is_protected:
            stacks.protect(self.cloudformation, stack, on=False)
        self.person.tell(f"Deleting {stack.name}. In a VPC this can take half an hour.")
        try:
            stacks.delete(self.cloudformation, stack, self.seconds_between_looks)
        except ServiceFailed as failure:
            self._protect_again(stack)
            raise failure from None

    def _protect_again(self, stack: stacks.Stack) -> None:
        """Protect a stack that stays; if CloudFormation refuses that, say so: the failure before it matters more."""
        if not stack.is_protected:
            return
        try:
            stacks.protect(self.cloudformation, stack, on=True)
        except ServiceFailed as error:
            self.person.tell(f"The stack {stack.name} is not protected any more: {error.cause}")

    def _say_what_stays(self, stack: stacks.Stack) -> None:
        log = f" The log group {stack.log_group} stays." if stack.log_group else ""
        self.person.tell(f"The stack {stack.name} is deleted. Users, passwords and secrets are as before.{log}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if the stack is gone."""
    options = _parser().parse_args(arguments)
    try:
        session = new_session(options.profile, options.region)
        Uninstall(
            session.client("cloudformation"),
            session.client("secretsmanager"),
            Terminal(),
            _choice(options),
            asks=not options.yes,
        ).run(options.stack)
    except RotationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m operations.uninstall",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="docs/uninstalling.md has the permissions that your role needs.",
    )
    parser.add_argument("stack", help="the name of the stack")
    secrets = parser.add_mutually_exclusive_group()
    secrets.add_argument("--detach", action="store_true", help="turn the rotation of its secrets off")
    secrets.add_argument("--hand-over-to", metavar="ARN", help="let another function rotate its secrets")
    parser.add_argument("--yes", action="store_true", help="do not ask; stop if secrets rotate and no choice is given")
    parser.add_argument("--profile", help="the profile of your AWS configuration")
    parser.add_argument("--region", help="the stack's Region; otherwise that of your AWS configuration")
    return parser


def _choice(options: argparse.Namespace) -> Choice | None:
    return Choice(options.hand_over_to or "") if options.detach or options.hand_over_to else None


def _state(secret: AttachedSecret, stack: stacks.Stack) -> str:
    if not secret.rotation_enabled:
        return "its rotation is off"
    by_stack = (
        ", by a schedule of this stack that is deleted with it" if secret.arn in stack.scheduled_secret_arns else ""
    )
    return f"rotates{by_stack}"


def _check_none_is_unfinished(rotating: Sequence[AttachedSecret]) -> None:
    """Raise Stopped if a rotation is under way: its password can be in the database, and not yet in AWSCURRENT."""
    unfinished = [secret.name for secret in rotating if secret.unfinished_version]
    if unfinished:
        raise Stopped(
            "deleting the stack",
            f"a rotation of these secrets is not finished: {', '.join(unfinished)}",
            "Wait, or run aws secretsmanager rotate-secret --secret-id … for each; if its database is gone, run aws "
            "secretsmanager cancel-rotate-secret --secret-id …",
        )


def _refuse(cause: str, remedy: str = AGAIN) -> NoReturn:
    raise Stopped("deleting the stack", f"{cause}, so it was not deleted", remedy)


if __name__ == "__main__":
    sys.exit(main())
