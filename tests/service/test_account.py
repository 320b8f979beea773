"""Does `make deploy` say which account it changes, before anything is built?"""

import boto3
import pytest
from botocore.stub import Stubber

from operations import account
from tests.local.aws.secrets_manager import REGION

WHO = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/ada", "UserId": "AIDA"}


class Session(boto3.Session):
    """Has the clients that were put into it."""

    def __init__(self) -> None:
        super().__init__("test", "test", region_name=REGION)
        self.sts = super().client("sts")

    def client(self, _: str) -> object:  # type: ignore[override]
        """Return the one client."""
        return self.sts


def test_the_account_the_region_and_who_one_is_are_said() -> None:
    session = Session()
    with Stubber(session.sts) as stub:
        stub.add_response("get_caller_identity", WHO)
        said = account.described(session, "secret-rotation-staging")
    assert said == f"secret-rotation-staging will be deployed into account 123456789012, {REGION}, by {WHO['Arn']}."


def test_who_is_unknown_to_aws_learns_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", REGION)
    assert account.main([]) == 1
    shown = capsys.readouterr()
    assert "Unable to locate credentials. Run aws configure or aws sso login" in shown.err
    assert shown.out == ""
