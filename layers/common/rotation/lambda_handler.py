"""Lambda calls this with an event: one step is done, one line is logged, and no secret leaves."""

import contextlib
import os
import shlex
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from rotation import announcements, strategies
from rotation.admin import Admins
from rotation.announcements import Announcement
from rotation.aws import Clients, own_clients
from rotation.deadline import Deadline
from rotation.engine import InspectedEngine
from rotation.environment import boolean
from rotation.errors import RotationError, Unexpected
from rotation.event import Look, LookEvent, RotationEvent
from rotation.kind import Strategy
from rotation.passwords import PasswordPolicy
from rotation.redaction import LONGEST, Redactor, redacting
from rotation.roles import SecretRoles, clients_in_role
from rotation.secret import SecretUnderRotation
from rotation.staging import CURRENT, PENDING, PREVIOUS
from rotation.steps import STEPS, Rotation
from rotation.strategies import RotationStrategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from rotation.preflight.preflight import Answer

logger = Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME", "rotation"))
NAMESPACE = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "SecretRotation")

OUR_WORDS = frozenset({"engine", "step", "strategy", "function_request_id"})
"""Fields that hold words of ours, or what Lambda gave the call: nobody else can write them, so they hold no secret. To
search them for secrets would take 2 % of a rotation's processor time."""

FINISHING_SECONDS = 2.0
"""How long finishSecret can look at the version that it has made current, for the log."""


def rotation_handler(engine: InspectedEngine) -> "Callable[[object, LambdaContext], Answer | None]":
    """Return the function that Lambda calls; it does one step for a secret of this engine, and returns nothing.

    An operator can ask it for a look instead (`rotation.event.Look`), and gets what was found as JSON. Each call logs
    one line and measures its duration in the metric StepDuration. If it fails, it counts in the metric StepFailed and
    raises the error for Secrets Manager. If it has moved AWSCURRENT, it counts in RotationFinished, and the time since
    the version was created is in RotationDuration. Then somebody is told, if a bus is named (`rotation.announcements`):
    a failure of that is one line more, and nothing else. Nothing that is logged, raised, told or returned holds a
    secret.
    """

    def handler(event: object, context: "LambdaContext") -> "Answer | None":
        invocation = _Invocation(engine, context)
        failure = invocation.run(event)
        # Raised here, outside of any `except`: the error carries no chain to an exception that may hold a secret.
        if failure:
            raise failure
        return invocation.answer

    return handler


class _Invocation:
    """One call of the function."""

    def __init__(self, engine: InspectedEngine, context: "LambdaContext") -> None:
        self._engine = engine
        self._context = context
        self._deadline = Deadline(lambda: context.get_remaining_time_in_millis() / 1000)
        self._redactor = Redactor()
        self._redact = partial(self._redactor.said, most=LONGEST)
        self.answer: Answer | None = None
        """What Lambda returns to an operator who asked for a look."""
        self._secret: SecretUnderRotation | None = None
        self._is_finished = False
        self._rotation_seconds: float | None = None
        self._began = time.monotonic()
        self._fields = {
            "engine": engine.kind.name,
            "step": "unknown",
            "strategy": "unknown",
            "function_request_id": context.aws_request_id,
        }

    def run(self, event: object) -> RotationError | None:
        """Do the step, log it and measure it; return the error, if any, without secrets and chained exceptions."""
        try:
            with redacting(self._redactor):
                outcome = self._step(event)
        except RotationError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - the text of any exception can hold a secret and must not get out
            return self._failed(Unexpected.from_exception(error, self._doing()))
        # Somebody should look at what was broken, also if the log level hides the steps that go well.
        log = logger.warning if {"recovered", "repaired"} & self._fields.keys() else logger.info
        log(self._redact(outcome), extra=self._measured())
        if self._is_finished:
            self._announce(Announcement.FINISHED)
        return None

    def _doing(self) -> str:
        arn = self._fields.get("secret_arn")
        return f"doing {self._fields['step']} for {arn}" if arn else "doing the step"

    def _step(self, raw: object) -> str:
        self._redactor.add_secret(raw.get("RotationToken") if isinstance(raw, dict) else None)
        if asked := LookEvent.parse(raw):
            return self._look(asked)
        event = RotationEvent.parse(raw)
        self._redactor.release(event.secret_id, event.version_token, *Strategy)
        self._fields |= {
            "step": event.step,
            "secret_arn": event.secret_id,
            "version_token": event.version_token,
        }
        policy = PasswordPolicy.from_environment(os.environ, self._engine.kind)
        try_more_passwords = boolean(os.environ, "TRY_MORE_PASSWORDS", default=False)
        allow_admin_repair = boolean(os.environ, "ALLOW_ADMIN_REPAIR", default=False)
        clients, kind, redactor = self._clients(event.secret_id), self._engine.kind, self._redactor
        client = clients.secrets_manager
        self._secret = SecretUnderRotation(
            client, event.secret_id, event.version_token, kind, redactor, self._deadline, event.rotation_token
        )
        rotation = Rotation(
            secret=self._secret,
            engine=self._engine,
            deadline=self._deadline,
            admin=Admins(client, clients.rds, kind, redactor, self._deadline).find,
            new_password=policy.generate,
            annotate=self._annotate,
            try_more_passwords=try_more_passwords,
            allow_admin_repair=allow_admin_repair,
            recovered=self._recovered,
            finished=self._finished,
        )
        return STEPS[event.step](rotation)

    def _look(self, event: LookEvent) -> str:
        """Look at what an operator asks for; changes nothing, unless a doctor is to repair."""
        self._redactor.release(event.secret_id, CURRENT, PENDING, PREVIOUS)
        self._fields |= {"step": event.look, "secret_arn": event.secret_id}
        function_arn = ":".join(self._context.invoked_function_arn.split(":")[:7])
        match event.look:
            case Look.DOCTOR:
                return self._doctor(event, function_arn)
            case Look.SERVER:
                return self._server(event)
            case Look.PREFLIGHT:
                return self._preflight(event, function_arn)

    def _preflight(self, event: LookEvent, function_arn: str) -> str:
        # Imported here: rotations do without it, and would start 2 ms later (and 5 ms with the doctor).
        from rotation.preflight import preflight  # noqa: PLC0415

        findings = preflight.preflight(
            event.secret_id,
            engine=self._engine,
            clients=self._clients(event.secret_id),
            redactor=self._redactor,
            deadline=self._deadline,
            function_arn=function_arn,
        )
        self.answer = preflight.answer(event.secret_id, findings, self._redact)
        return preflight.summary(findings)

    def _server(self, event: LookEvent) -> str:
        # Imported here, as a preflight.
        from rotation.preflight import preflight  # noqa: PLC0415

        client = self._clients(event.secret_id).secrets_manager
        value = preflight.current(client, event.secret_id, self._engine.kind, self._redactor, self._deadline)
        server = self._redact(f"{value.credential.host}:{value.credential.port}".lower())
        self.answer = {"SecretId": event.secret_id, "Server": server}
        return f"its server is {server}"

    def _doctor(self, event: LookEvent, function_arn: str) -> str:
        # Imported here, as a preflight.
        from rotation.doctor import doctor  # noqa: PLC0415

        clients = self._clients(event.secret_id)
        examined = doctor.doctor(
            event, self._engine, clients, self._redactor, self._deadline, function_arn=function_arn
        )
        self.answer = examined.answer(self._redact)
        if examined.done:
            self._fields["repaired"] = "; ".join(repair.does for repair in examined.done)
        return examined.summary

    def _clients(self, secret_arn: str) -> Clients:
        """Return the clients for every call about this secret."""
        role = SecretRoles.from_environment(os.environ).role_for(secret_arn)
        if not role:
            return own_clients()
        return clients_in_role(role, self._context.function_name, self._redactor.add_secret, self._deadline)

    def _annotate(self, strategy: RotationStrategy) -> None:
        self._fields["strategy"] = strategy.name

    def _recovered(self, what: str) -> None:
        self._fields["recovered"] = what

    def _finished(self, moved: bool) -> None:  # noqa: FBT001 - a callback with one argument
        """Note what was made current, and how long that took. The rotation is done: nothing here can fail it."""
        self._is_finished = True
        if self._secret is None:
            return
        version = replace(self._secret, deadline=self._deadline.at_most(FINISHING_SECONDS))
        with contextlib.suppress(RotationError):
            for value in version.written():
                self._annotate(strategies.choose(value, self._engine.kind))
        self._rotation_seconds = version.age if moved else None

    def _announce(self, what: Announcement, **more: str) -> None:
        """Tell it on the bus, if there is one. If that fails, a warning is logged: the step is over."""
        bus = os.environ.get(announcements.VARIABLE)
        if not bus:
            return
        fields = {name: self._field(name) for name in announcements.FIELDS}
        try:
            with redacting(self._redactor):
                announcements.put(bus, what, {**fields, **more}, self._deadline)
        except RotationError as error:
            self._not_announced(error, fields)
        except Exception as error:  # noqa: BLE001 - whatever it is, the step has ended as it has
            self._not_announced(Unexpected.from_exception(error, f"putting an event on the bus {bus}"), fields)

    def _not_announced(self, error: RotationError, fields: dict[str, str]) -> None:
        clean = error.rewritten(self._redact)
        logger.warning(str(clean), extra={**fields, "cause": clean.cause, "remedy": clean.remedy})

    def _failed(self, error: RotationError) -> RotationError:
        if error.ends_version:
            error = type(error)(error.operation, error.cause, f"{error.remedy}. {self._give_up()}")
        clean = error.rewritten(self._redact)
        name = type(clean).__name__
        logger.error(
            str(clean),
            extra={**self._measured(), "error": name, "cause": clean.cause, "remedy": clean.remedy},
        )
        with single_metric(name="StepFailed", unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
            self._dimensions(metric)
            metric.add_dimension("error", name)
        if clean.needs_human and "version_token" in self._fields:  # else somebody asked, and reads the answer
            about = {"step": self._field("step"), "error": name}
            self._announce(Announcement.NEEDS_ATTENTION, **about, cause=clean.cause, remedy=clean.remedy)
        return clean

    def _give_up(self) -> str:
        """Say how to give up the pending version, which can never become current."""
        arn, token = shlex.quote(self._fields["secret_arn"]), shlex.quote(self._fields["version_token"])
        if self._secret and self._secret.is_given_up:
            return (
                "This version is given up, and the next rotation makes another password; start it with"
                f" aws secretsmanager rotate-secret --secret-id {arn}"
            )
        return (
            "This version can never become current; give it up with aws secretsmanager update-secret-version-stage"
            f" --secret-id {arn} --version-stage AWSPENDING --remove-from-version-id {token}"
            f" && aws secretsmanager rotate-secret --secret-id {arn}"
        )

    def _measured(self) -> dict[str, object]:
        milliseconds = round((time.monotonic() - self._began) * 1000)
        with single_metric(
            name="StepDuration", unit=MetricUnit.Milliseconds, value=milliseconds, namespace=NAMESPACE
        ) as metric:
            self._dimensions(metric)
        fields = {name: self._field(name) for name in self._fields}
        return {**fields, "duration_ms": milliseconds, **self._rotation_measured()}

    def _field(self, name: str) -> str:
        """Return what a field says, without secrets."""
        text = self._fields[name]
        return text if name in OUR_WORDS else self._redact(text)

    def _rotation_measured(self) -> dict[str, object]:
        """Measure the whole rotation, once it is over; return its fields for the line."""
        if self._rotation_seconds is None:
            return {}
        seconds = round(self._rotation_seconds, 1)
        with single_metric(name="RotationFinished", unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
            metric.add_dimension("engine", self._fields["engine"])
        with single_metric(
            name="RotationDuration", unit=MetricUnit.Seconds, value=seconds, namespace=NAMESPACE
        ) as metric:
            metric.add_dimension("engine", self._fields["engine"])
            metric.add_dimension("strategy", self._fields["strategy"])
        return {"rotation_seconds": seconds}

    def _dimensions(self, metric: Any) -> None:  # noqa: ANN401 - Powertools gives the metric no public type
        metric.add_dimension("engine", self._fields["engine"])
        metric.add_dimension("step", self._fields["step"])
