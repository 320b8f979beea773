"""What does an operator do when a rotation is stuck? Asks the doctor, and does what it says.

The function repairs by itself what is safe (ALLOW_DOCTOR_REPAIR). The rest is the operator's: here the program plays
the operator, with the very calls that the doctor names.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tests.local.demo.databases import Login
from tests.local.demo.web.board import Board

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_OTHER_FUNCTION = "other function"
"""The doctor compares its own ARN with the one that is attached. Lambda's emulator makes up another account for it."""

type Examine = Callable[[], Mapping[str, Any]]


def consult(examine: Examine, board: Board) -> bool:
    """Let the doctor look and repair what it can; show what it says. Return whether a rotation would have succeeded."""
    answer = examine()
    findings = [finding for finding in answer["Findings"] if finding["Item"] != _OTHER_FUNCTION]
    for finding in findings:
        board.say(f"The doctor: {finding['Found']}", "bad" if finding["Outcome"] == "fail" else "plain")
    for repair in answer["Repairs"]:
        if repair.get("Done"):
            board.say(f"The doctor has repaired it: {repair['Does']}", "good")
    return not any(finding["Outcome"] == "fail" for finding in findings)


def write_password(client: "SecretsManagerClient", secret_id: str, by_hand: Login, board: Board) -> None:
    """Put into the secret the password that somebody set by hand."""
    value = client.get_secret_value(SecretId=secret_id)["SecretString"]
    client.put_secret_value(SecretId=secret_id, SecretString=by_hand.put_into(value))
    board.say("The operator writes the password that somebody has set into the secret: put-secret-value.")


def give_up_pending(client: "SecretsManagerClient", secret_id: str) -> bool:
    """Take AWSPENDING from a version that is not current. Return whether there was one: no rotation could begin."""
    labelled = client.list_secret_version_ids(SecretId=secret_id)["Versions"]
    for version in labelled:
        labels = version.get("VersionStages", [])
        if "AWSPENDING" in labels and "AWSCURRENT" not in labels:
            client.update_secret_version_stage(
                SecretId=secret_id, VersionStage="AWSPENDING", RemoveFromVersionId=version["VersionId"]
            )
            return True
    return False
