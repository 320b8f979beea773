"""Which versions has a secret, what are their labels, and which of their passwords does the server accept?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.local.demo.databases import Login, LoginFailed

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_ID_SHOWN = 8
_ABSENT = "none yet"


@dataclass(frozen=True)
class VersionState:
    """One version: its labels, and, if it has a value, its user and whether the password works."""

    labels: tuple[str, ...]
    username: str = ""
    is_accepted: bool | None = None

    def __str__(self) -> str:
        sign = {True: "✔", False: "✘", None: "·"}[self.is_accepted]
        return f"{sign} {', '.join(self.labels) or 'no label'}{', empty' if self.is_accepted is None else ''}"


def version_states(
    client: "SecretsManagerClient", secret_id: str, work: Callable[[Login], None], unlabelled: int | None = None
) -> dict[str, VersionState]:
    """Return the state of each version, by its id, oldest first; `work` logs in, and raises LoginFailed.

    Of the versions without a label, at most so many of the newest are looked at, if a number is given.
    """
    versions = client.list_secret_version_ids(SecretId=secret_id, IncludeDeprecated=True)["Versions"]
    found = {}
    versions = sorted(versions, key=lambda version: version["CreatedDate"])
    if unlabelled is not None:
        shown = [version["VersionId"] for version in versions if not version.get("VersionStages")][-unlabelled:]
        versions = [each for each in versions if each.get("VersionStages") or each["VersionId"] in shown]
    for version in versions:
        labels = tuple(sorted(version.get("VersionStages", [])))
        try:
            value = client.get_secret_value(SecretId=secret_id, VersionId=version["VersionId"])
        except client.exceptions.ResourceNotFoundException:
            found[version["VersionId"]] = VersionState(labels)
            continue
        login = Login.parse(value["SecretString"])
        found[version["VersionId"]] = VersionState(labels, login.username, _is_accepted(work, login))
    return found


def comparison(
    before: Mapping[str, VersionState], after: Mapping[str, VersionState]
) -> list[tuple[str, str, str, str]]:
    """Return rows to show: the version's id, its user, and how it stood before and stands after."""
    return [
        (version[:_ID_SHOWN], now.username, str(before.get(version, _ABSENT)), str(now))
        for version, now in after.items()
    ]


def _is_accepted(work: Callable[[Login], None], login: Login) -> bool:
    try:
        work(login)
    except LoginFailed as error:
        if not error.refused:
            raise
        return False
    return True
