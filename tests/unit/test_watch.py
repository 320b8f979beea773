"""Is a secret that does not rotate told from one that is not due, and a needed function from one that can go?"""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.request import Request

import pytest

from rotation.deadline import RESERVED_SECONDS, Deadline
from rotation.errors import InvalidEvent, OutOfTime, RotationError, Unexpected
from rotation.redaction import Redactor
from rotation.watch import custom_resource
from rotation.watch.attached import OFF_INTENDED, AttachedSecret, attached_secrets, functions_of_stack
from rotation.watch.custom_resource import LONGEST_REASON, answer
from rotation.watch.guard import verdict
from rotation.watch.health import GRACE, INTERVAL, State, days_since_rotation, health, is_overdue
from rotation.watch.invocation import attempted
from tests.laboratories import deadline
from tests.unit.scenario import Clock

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:"
POSTGRESQL, MYSQL = f"{FUNCTION}secret-rotation-PostgreSql", f"{FUNCTION}secret-rotation-MySql"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"

DUE = AttachedSecret(f"{SECRET}orders/app-a1B2c3", POSTGRESQL, rotation_enabled=True, next_rotation=NOW)


@dataclass
class Listing:
    """Lists secrets in pages that were written down before, as the client of Secrets Manager does."""

    pages: Sequence[Sequence[dict[str, object]]]
    asked: list[dict[str, object]] = field(default_factory=list)

    def list_secrets(self, **request: Any) -> dict[str, object]:  # noqa: ANN401 - whatever botocore takes
        """Return the page that the token names."""
        self.asked.append(request)
        number = int(request.get("NextToken", 0))
        more = {"NextToken": str(number + 1)} if number + 1 < len(self.pages) else {}
        return {"SecretList": self.pages[number], **more}


def listed(name: str, function_arn: str | None, **more: object) -> dict[str, object]:
    """Return an entry of the list of secrets, as the service words it."""
    function = {} if function_arn is None else {"RotationLambdaARN": function_arn}
    return {"ARN": f"{SECRET}{name}-a1B2c3", "Name": name, **function, **more}


def attached(*pages: Sequence[dict[str, object]], prefix: str = f"{FUNCTION}secret-rotation-") -> list[AttachedSecret]:
    """Return the secrets on these pages that are attached to the stack's functions."""
    deadline = Deadline(lambda: 60)
    return attached_secrets(Listing(pages), functions_of_stack(prefix), deadline)  # type: ignore[arg-type]


# Which secrets are attached


def test_a_secret_is_read_as_the_service_lists_it() -> None:
    entry = listed("orders/app", POSTGRESQL, RotationEnabled=True, NextRotationDate=NOW)
    [secret] = attached([entry])
    assert secret == DUE
    assert secret.name == "orders/app"


def test_dates_labels_and_tags_are_read_as_the_service_lists_them() -> None:
    entry = listed(
        "orders/app",
        POSTGRESQL,
        LastRotatedDate=NOW - 3 * DAY,
        CreatedDate=NOW - 9 * DAY,
        LastChangedDate=NOW - DAY,
        SecretVersionsToStages={"1": ["AWSPREVIOUS"], "2": ["AWSCURRENT"], "3": ["AWSPENDING", "RotationBegun-7"]},
        Tags=[{"Key": "team", "Value": "orders"}, {"Key": OFF_INTENDED, "Value": "until May"}],
    )
    [secret] = attached([entry])
    assert (secret.last_rotation, secret.created, secret.last_changed) == (NOW - 3 * DAY, NOW - 9 * DAY, NOW - DAY)
    assert secret.unfinished_version == "3"
    assert secret.off_is_intended


def test_a_version_that_is_current_too_is_finished() -> None:
    labels = {"1": ["AWSPREVIOUS"], "2": ["AWSCURRENT", "AWSPENDING"]}
    [secret] = attached([listed("app", POSTGRESQL, SecretVersionsToStages=labels)])
    assert secret.unfinished_version is None


def test_dates_are_told_in_utc_wherever_the_function_runs() -> None:
    [secret] = attached([listed("app", POSTGRESQL, NextRotationDate=NOW.astimezone(timezone(timedelta(hours=9))))])
    assert str(secret.next_rotation) == "2027-03-01 12:00:00+00:00"


def test_what_was_never_attached_or_is_attached_elsewhere_is_left_out() -> None:
    elsewhere = f"{FUNCTION}another-rotation-PostgreSql"
    assert not attached([listed("never", None), listed("elsewhere", elsewhere, RotationEnabled=True)])


@pytest.mark.parametrize("qualifier", ["live", "$LATEST", "7"])
def test_a_secret_can_name_a_version_or_an_alias_of_the_function(qualifier: str) -> None:
    [secret] = attached([listed("app", f"{POSTGRESQL}:{qualifier}")])
    assert secret.function_arn == POSTGRESQL


def test_a_function_that_the_stack_no_longer_has_is_the_stacks_still() -> None:
    assert attached([listed("app", f"{FUNCTION}secret-rotation-Oracle", RotationEnabled=True)])


@pytest.mark.parametrize("name", ["secret-rotation-production-PostgreSql", "secret-rotation-", "secret-rotation"])
def test_a_stack_does_not_take_what_another_stack_of_a_longer_name_has(name: str) -> None:
    assert not attached([listed("app", f"{FUNCTION}{name}")])
    assert attached(
        [listed("app", f"{FUNCTION}secret-rotation-production-PostgreSql")],
        prefix=f"{FUNCTION}secret-rotation-production-",
    )


def test_a_secret_that_says_nothing_of_its_rotation_is_not_rotated() -> None:
    [secret] = attached([listed("app", POSTGRESQL)])
    assert not secret.rotation_enabled
    assert secret.next_rotation is None


def test_every_page_is_read() -> None:
    pages = [[listed(f"app-{page}-{number}", MYSQL) for number in range(2)] for page in range(3)]
    client = Listing(pages)
    secrets = attached_secrets(client, functions_of_stack(MYSQL[:-5]), Deadline(lambda: 60))  # type: ignore[arg-type]
    assert [secret.name for secret in secrets] == ["app-0-0", "app-0-1", "app-1-0", "app-1-1", "app-2-0", "app-2-1"]
    assert [request["MaxResults"] for request in client.asked] == [100, 100, 100]


def test_no_page_is_begun_when_the_time_is_up() -> None:
    clock = Clock(left=RESERVED_SECONDS + 1)

    class Slow(Listing):
        def list_secrets(self, **request: object) -> dict[str, object]:
            clock.sleep(1)
            return super().list_secrets(**request)

    client = Slow([[], [], []])
    with pytest.raises(OutOfTime, match="listing the secrets"):
        attached_secrets(client, lambda _: True, Deadline(clock.seconds_left))  # type: ignore[arg-type]
    assert len(client.asked) == 1


# Which are overdue


@pytest.mark.parametrize(
    ("late", "overdue"),
    [
        (timedelta(days=-30), False),
        (timedelta(0), False),
        (GRACE, False),
        (GRACE + timedelta(seconds=1), True),
        (timedelta(days=3), True),
    ],
    ids=["not due", "due now", "within the grace", "just past the grace", "days late"],
)
def test_a_rotation_is_overdue_an_hour_after_its_date(late: timedelta, overdue: bool) -> None:
    assert timedelta(hours=1) == GRACE
    assert is_overdue(DUE, NOW + late) is overdue


def test_a_secret_whose_rotation_is_off_is_never_overdue() -> None:
    assert not is_overdue(replace(DUE, rotation_enabled=False), NOW + timedelta(days=3))


def test_a_secret_without_a_date_is_never_overdue() -> None:
    assert not is_overdue(replace(DUE, next_rotation=None), NOW)


# Which rotate


UNFINISHED = replace(DUE, unfinished_version="pending-version", last_changed=NOW)


@pytest.mark.parametrize(
    ("secret", "state"),
    [
        (replace(DUE, next_rotation=NOW + 9 * DAY), State.ROTATES),
        (DUE, State.OVERDUE),
        (UNFINISHED, State.FAILED),
        (replace(UNFINISHED, last_changed=None), State.FAILED),
        (replace(UNFINISHED, next_rotation=NOW + 9 * DAY), State.FAILED),
        (replace(UNFINISHED, rotation_enabled=False), State.OFF),
        (replace(DUE, rotation_enabled=False, next_rotation=None), State.OFF),
        (replace(DUE, rotation_enabled=False, off_is_intended=True), State.LEFT_OFF),
        (replace(DUE, off_is_intended=True), State.OVERDUE),
    ],
    ids=["", "due", "unfinished", "of no date", "and not due", "and off", "off", "on purpose", "on, with the tag"],
)
def test_a_secret_is_in_one_state(secret: AttachedSecret, state: State) -> None:
    assert health(secret, NOW + DAY).state is state


def test_a_rotation_that_was_at_work_within_the_hour_has_not_failed() -> None:
    unfinished = replace(UNFINISHED, next_rotation=NOW + DAY)
    assert health(unfinished, NOW + GRACE).state is State.ROTATES
    assert health(unfinished, NOW + GRACE + timedelta(seconds=1)).state is State.FAILED


@pytest.mark.parametrize("secret", [DUE, UNFINISHED, replace(DUE, rotation_enabled=False)])
def test_what_does_not_rotate_has_a_command_that_names_the_secret(secret: AttachedSecret) -> None:
    found = health(secret, NOW + DAY)
    assert f"aws secretsmanager rotate-secret --secret-id {DUE.arn}" in found.remedy
    stuck = "--version-stage AWSPENDING --remove-from-version-id pending-version, then run" in found.remedy
    assert stuck is (found.state is State.FAILED)


@pytest.mark.parametrize("seconds", [0, 1, 59])
@pytest.mark.parametrize("minutes", [0, 1, 7, 14.9, 15, 22])
def test_what_does_not_rotate_is_said_once_when_it_begins_and_once_a_day(minutes: float, seconds: float) -> None:
    """Whenever it begins, and in whichever second of its minute the function runs."""
    secret = replace(DUE, next_rotation=NOW + timedelta(minutes=minutes))
    midnight = NOW.replace(hour=0)
    runs = [midnight + number * INTERVAL + timedelta(seconds=seconds) for number in range(4 * 96)]
    said = [run for run in runs if is_overdue(secret, run) and health(secret, run).is_to_be_said(run)]
    begins = NOW + timedelta(minutes=minutes) + GRACE
    assert begins < said[0] <= begins + 2 * INTERVAL
    assert said[1:] == [midnight + number * DAY + timedelta(seconds=seconds) for number in (1, 2, 3)]


def test_what_rotates_is_said_once_a_day() -> None:
    secret = replace(DUE, next_rotation=NOW + 30 * DAY)
    runs = [NOW + number * INTERVAL for number in range(4 * 96)]
    assert sum(health(secret, run).is_to_be_said(run) for run in runs) == 4


def test_a_password_is_as_old_as_its_rotation_or_as_the_secret() -> None:
    rotated = replace(DUE, created=NOW - 90 * DAY, last_rotation=NOW - 12 * DAY)
    assert days_since_rotation(rotated, NOW) == 12
    assert days_since_rotation(replace(rotated, last_rotation=None), NOW) == 90
    assert days_since_rotation(DUE, NOW) is None


# Which functions may go


def named(*functions: str, scheduled: Sequence[str] = ()) -> dict[str, object]:
    """Return the resource's properties; `scheduled` are the secrets that the stack attaches by itself."""
    return {"ServiceToken": "arn", "FunctionArns": list(functions), "ScheduledSecretArns": list(scheduled)}


def request(kind: str, now: object, before: object = None) -> dict[str, Any]:
    """Return what CloudFormation asks, with the resource's properties and, in an update, those before."""
    old = {} if before is None else {"OldResourceProperties": before}
    return {"RequestType": kind, "ResourceProperties": now, **old}


TURNED_OFF = request("Update", named(MYSQL), named(POSTGRESQL, MYSQL))


@dataclass
class Account:
    """The secrets of an account, and which functions somebody asked about."""

    secrets: Sequence[AttachedSecret] = (DUE,)
    asked: list[Collection[str]] = field(default_factory=list)

    def attached(self, functions: Collection[str]) -> Sequence[AttachedSecret]:
        """Return the secrets of these functions."""
        self.asked.append(functions)
        return [secret for secret in self.secrets if secret.function_arn in functions]


@pytest.mark.parametrize(
    "event",
    [
        request("Create", named(POSTGRESQL, MYSQL)),
        request("Update", named(POSTGRESQL, MYSQL), named(POSTGRESQL, MYSQL)),
        request("Update", named(POSTGRESQL, MYSQL), named(MYSQL)),
        request("Update", named(POSTGRESQL), named(f"{POSTGRESQL}:live")),
        request("Delete", named()),
        request("Delete", {"FunctionArns": "no list"}),
        request("Delete", {"ServiceToken": "arn"}),
    ],
    ids=["created", "as before", "one more", "another alias", "had none", "never created", "created without"],
)
def test_if_no_function_goes_the_secrets_are_not_even_looked_at(event: dict[str, Any]) -> None:
    account = Account()
    assert not verdict(event, account.attached).is_refusal
    assert account.asked == []


@pytest.mark.parametrize(
    "event",
    [
        request("Update", named(MYSQL), named(POSTGRESQL, MYSQL)),
        request("Update", named(), named(f"{POSTGRESQL}:live")),
    ],
    ids=["engine turned off", "alias deleted"],
)
def test_an_engine_that_a_secret_needs_cannot_be_turned_off(event: dict[str, Any]) -> None:
    refused = verdict(event, Account().attached)
    assert refused.is_refusal
    assert refused.secret_arns == [DUE.arn]
    assert "orders/app." in refused.text
    for remedy in ("--rotation-lambda-arn", "cancel-rotate-secret", "SecretArns"):
        assert remedy in refused.text


def test_the_deletion_of_a_stack_is_not_refused_and_says_what_it_leaves_behind() -> None:
    """To refuse would keep nothing: CloudFormation goes on to delete what the guard depends on."""
    found = verdict(request("Delete", named(POSTGRESQL, MYSQL)), Account().attached)
    assert not found.is_refusal
    assert found.is_problem
    assert found.secret_arns == [DUE.arn]
    for part in ("orders/app.", "--rotation-lambda-arn", "cancel-rotate-secret"):
        assert part in found.text


def test_of_a_guard_that_goes_alone_nobody_says_that_the_stack_is_gone() -> None:
    """With WatchFunctions=none the guard is deleted in the same words as with its stack."""
    found = verdict(request("Delete", named(POSTGRESQL)), Account().attached)
    assert found.text.startswith("If the stack is deleted, nothing rotates")
    assert found.text.endswith("If only WatchFunctions was set to none, all secrets rotate as before.")


def test_a_function_can_go_whose_engine_no_secret_needs() -> None:
    account = Account()
    assert not verdict(request("Update", named(POSTGRESQL), named(POSTGRESQL, MYSQL)), account.attached).is_refusal
    assert account.asked == [{MYSQL}]


def test_a_secret_whose_rotation_is_off_does_not_hold_its_function() -> None:
    account = Account([replace(DUE, rotation_enabled=False)])
    assert not verdict(TURNED_OFF, account.attached).is_problem


@pytest.mark.parametrize(
    "event",
    [
        request("Delete", named(POSTGRESQL, scheduled=[DUE.arn])),
        request("Update", named(MYSQL), named(POSTGRESQL, MYSQL, scheduled=[DUE.arn])),
        request("Update", named(MYSQL, scheduled=[DUE.arn]), named(POSTGRESQL, MYSQL)),
    ],
    ids=["stack deleted", "engine turned off, or an update that adds it rolled back", "moved to another engine"],
)
def test_a_secret_that_the_stack_itself_attached_does_not_hold_its_function(event: dict[str, Any]) -> None:
    assert not verdict(event, Account().attached).is_problem
    other = replace(DUE, arn=f"{SECRET}by-hand-a1B2c3")
    assert verdict(event, Account([DUE, other]).attached).secret_arns == [other.arn]


@pytest.mark.parametrize("count", [5, 6, 5000])
def test_a_refusal_names_five_secrets_and_counts_the_rest(count: int) -> None:
    secrets = [replace(DUE, arn=f"{SECRET}{number:04}{'x' * 500}-a1B2c3") for number in range(count)]
    refused = verdict(TURNED_OFF, Account(secrets).attached)
    assert [f"{number:04}xxx" in refused.text for number in range(6)] == [True] * 5 + [False]
    assert (f" and {count - 5} more." in refused.text) is (count > 5)
    assert len(refused.text) <= LONGEST_REASON
    assert refused.secret_arns == [secret.arn for secret in secrets]


@pytest.mark.parametrize(
    "event",
    [
        {},
        request("Rename", named(POSTGRESQL)),
        request("Create", {"FunctionArns": "arn,arn"}),
        request("Create", {}),
        request("Create", {"FunctionArns": [POSTGRESQL, 7]}),
        request("Update", {}, named(POSTGRESQL)),
        {"RequestType": "Create"},
    ],
    ids=["nothing", "unknown", "text", "missing", "number", "update without", "no properties"],
)
def test_a_request_that_makes_no_sense_is_an_error(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        verdict(event, Account().attached)


# Where it is said

SIGNED = "arn%3Aaws%3Acloudformation%3Aus-east-1%3A123456789012%3Astack/s/1%7CGuard%7C2?X-Amz-Signature=a1"
BUCKET = "cloudformation-custom-resource-response-"
OURS = f"{BUCKET}useast1.s3.us-east-1.amazonaws.com"

CLOUDFORMATIONS = [
    ("us-east-1", "amazonaws.com", f"https://{OURS}/{SIGNED}"),
    ("us-east-1", "amazonaws.com", f"https://{BUCKET}useast1.s3.amazonaws.com/{SIGNED}"),
    ("us-west-2", "amazonaws.com", f"https://{BUCKET}uswest2.s3-us-west-2.amazonaws.com/{SIGNED}"),
    ("eu-central-1", "amazonaws.com", f"https://{BUCKET}eucentral1.s3.eu-central-1.amazonaws.com/{SIGNED}"),
    ("ap-southeast-7", "amazonaws.com", f"https://{BUCKET}apsoutheast7.s3.ap-southeast-7.amazonaws.com/{SIGNED}"),
    ("cn-north-1", "amazonaws.com.cn", f"https://{BUCKET}cnnorth1.s3.cn-north-1.amazonaws.com.cn/{SIGNED}"),
    ("us-gov-west-1", "amazonaws.com", f"https://{BUCKET}usgovwest1.s3.us-gov-west-1.amazonaws.com/{SIGNED}"),
    ("eusc-de-east-1", "amazonaws.eu", f"https://{BUCKET}euscdeeast1.s3.eusc-de-east-1.amazonaws.eu/{SIGNED}"),
]
"""As CloudFormation writes them, in old Regions and new, and in other partitions."""

STRANGERS = [
    "",
    "https://example.com/",
    "https://cloudformation.example/answer",
    f"http://{OURS}/{SIGNED}",
    f"ftp://{OURS}/{SIGNED}",
    f"file:///{OURS}/{SIGNED}",
    f"//{OURS}/{SIGNED}",
    f"HTTPS://{OURS}/{SIGNED}",
    f"https://{OURS}",
    f"https://{OURS}?{SIGNED}",
    f"https://{OURS}:443/{SIGNED}",
    f"https://{OURS}:8443/{SIGNED}",
    f"https://user@{OURS}/{SIGNED}",
    f"https://{OURS}@example.com/{SIGNED}",
    f"https://{OURS}:x@example.com/{SIGNED}",
    f"https://example.com/{OURS}/{SIGNED}",
    f"https://example.com#{OURS}/{SIGNED}",
    f"https://example.com?{OURS}/{SIGNED}",
    f"https://example.com\\@{OURS}/{SIGNED}",
    f"https://{OURS}\\@example.com/{SIGNED}",
    f"https://{OURS}.example.com/{SIGNED}",
    f"https://{OURS}./{SIGNED}",
    f"https://x{OURS}/{SIGNED}",
    f"https://x.{OURS}/{SIGNED}",
    f"https://{OURS}/{SIGNED}\r\nHost: example.com",
    f"https://{OURS}/{SIGNED} ",
    f" https://{OURS}/{SIGNED}",
    f"https://{OURS}/ü",
    f"https://{BUCKET}useast1.s3.us-east-1.amazonaws.com.cn/{SIGNED}",
    f"https://{BUCKET}useast1-evil.s3.us-east-1.amazonaws.com/{SIGNED}",
    f"https://{BUCKET}useast1.evil.s3.us-east-1.amazonaws.com/{SIGNED}",
    f"https://{BUCKET}uswest2.s3.us-west-2.amazonaws.com/{SIGNED}",
    f"https://{BUCKET}uswest2.s3.us-east-1.amazonaws.com/{SIGNED}",
    f"https://{BUCKET}.s3.amazonaws.com/{SIGNED}",
    f"https://evil.s3.us-east-1.amazonaws.com/{SIGNED}",
    f"https://s3.us-east-1.amazonaws.com/evil/{SIGNED}",
    f"https://{BUCKET}useast1xs3xus-east-1xamazonaws.com/{SIGNED}",
    "http://169.254.169.254/latest/",
    "http://127.0.0.1:9001/",
]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that were connected to, of a function that runs as in the cloud."""
    opened: list[str] = []

    def urlopen(request: Request, timeout: float) -> io.BytesIO:
        assert 0 < timeout < 10
        opened.append(request.host)
        return io.BytesIO()

    monkeypatch.setattr(custom_resource, "urlopen", urlopen)
    monkeypatch.delenv("ALLOW_LOCAL_HOSTS")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("URL_SUFFIX", "amazonaws.com")
    return opened


@pytest.mark.parametrize(("region", "suffix", "url"), CLOUDFORMATIONS, ids=[url for *_, url in CLOUDFORMATIONS])
def test_cloudformation_is_answered_in_every_region(
    opened: list[str], region: str, suffix: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    monkeypatch.setenv("URL_SUFFIX", suffix)
    answer({"ResponseURL": url}, "no", deadline())
    assert opened == [url.split("/")[2]]


@pytest.mark.parametrize("url", STRANGERS)
def test_nobody_else_is_answered(opened: list[str], url: str) -> None:
    with pytest.raises(InvalidEvent, match="ResponseURL") as raised:
        answer({"ResponseURL": url}, "These secrets would be rotated by nothing: orders/app.", deadline())
    assert opened == []
    assert "Signature" not in str(raised.value)


@pytest.mark.parametrize("region", ["us-west-2", "us-gov-west-1", "cn-north-1"])
def test_a_name_without_its_region_is_answered_only_if_cloudformation_writes_it(
    opened: list[str], region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another partition, the bucket of that name may be anybody's."""
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(InvalidEvent):
        answer({"ResponseURL": f"https://{BUCKET}{region.replace('-', '')}.s3.amazonaws.com/x"}, None, deadline())
    assert opened == []


@pytest.mark.parametrize(
    ("url", "is_answered"),
    [
        ("http://127.0.0.1:4566/_ministack/cfn-response/1", True),
        ("http://127.0.0.1@example.com:80/", False),
        ("http://127.0.0.1:80@example.com/", False),
        ("http://127.0.0.1.example.com:80/", False),
        ("http://10.0.0.1:80/", False),
        ("http://169.254.169.254:80/", False),
        ("https://example.com/", False),
    ],
)
def test_on_a_laptop_its_own_cloudformation_is_answered_too(
    opened: list[str], url: str, monkeypatch: pytest.MonkeyPatch, *, is_answered: bool
) -> None:
    monkeypatch.setenv("ALLOW_LOCAL_HOSTS", "true")
    if is_answered:
        answer({"ResponseURL": url}, None, deadline())
        assert opened == ["127.0.0.1:4566"]
    else:
        with pytest.raises(InvalidEvent):
            answer({"ResponseURL": url}, None, deadline())
        assert opened == []


# What a failure tells


def test_an_error_comes_back_redacted_and_without_what_led_to_it() -> None:
    def fail() -> None:
        try:
            raise KeyError("secret")  # noqa: TRY301 - it becomes the context
        except KeyError:
            raise InvalidEvent("secret", "secret", "secret") from ValueError("secret")

    redactor = Redactor()
    redactor.add_secret("secret")
    error = attempted(fail, redactor)
    assert isinstance(error, InvalidEvent)
    assert (error.operation, error.cause, error.remedy) == ("***", "***", "***")
    assert (error.__cause__, error.__context__, error.__traceback__) == (None, None, None)


def test_an_exception_of_somebody_elses_becomes_a_place_and_nothing_more() -> None:
    def fail() -> None:
        raise KeyError("secret")

    error = attempted(fail)
    assert isinstance(error, Unexpected)
    assert error.cause.startswith("KeyError in test_watch.py, line ")
    assert "secret" not in str(error)


def test_what_goes_well_comes_back() -> None:
    assert attempted(lambda: 7) == 7
    assert not isinstance(attempted(lambda: None), RotationError)
