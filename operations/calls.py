"""How do the operator's commands call AWS, and what do they say of an error?"""

import os
from collections.abc import Callable

import boto3
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError

from rotation.errors import RotationError, ServiceFailed

NOT_FOUND = "ResourceNotFoundException"
"""What Secrets Manager, Lambda and CloudWatch Logs answer about a name that is not there."""

NO_FILE = "NoSuchKey"
"""S3's word for the same, to who may list the bucket."""

LOGGED_OUT = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "UnrecognizedClientException",
}
"""What AWS answers if it does not know the credentials, or knows them no more."""

LOG_IN = "Run aws configure or aws sso login, and name the profile with AWS_PROFILE"

REMEDIES = {
    NoCredentialsError: LOG_IN,
    EndpointConnectionError: "Check your network and the Region; unset AWS_ENDPOINT_URL, unless you run make aws",
}
"""What to do if a call did not reach AWS."""


class Stopped(RotationError):
    """The command ends before it has done what it is for, because it must not, or because the operator says so."""

    def __str__(self) -> str:
        """Return the sentences alone: docs/errors.md has the errors of the functions."""
        return self.sentences


def new_session(profile: str | None, region: str | None) -> boto3.Session:
    """Return a session with the operator's credentials. Raises Stopped if the profile or the Region is missing.

    boto3 reads AWS_DEFAULT_REGION; the other SDKs, and Lambda, have AWS_REGION.
    """
    try:
        session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION"))
    except BotoCoreError as error:
        raise Stopped("reading your AWS configuration", str(error), "Name a profile that exists") from None
    if session.region_name:
        return session
    remedy = "Run export AWS_REGION=eu-west-1, with the name of yours"
    raise Stopped("reading your AWS configuration", "no Region is set", remedy)


def called[T](operation: str, permission: str, call: Callable[[], T]) -> T:
    """Return AWS's answer. Raises ServiceFailed; the SDK has tried again before, if that made sense."""
    try:
        return call()
    except ClientError as error:
        details = error.response.get("Error", {})
        cause = f"{permission} answered {details.get('Code')}: {details.get('Message')}"
        raise ServiceFailed(operation, cause, _remedy(details.get("Code"), permission)) from None
    except BotoCoreError as error:
        remedy = REMEDIES.get(type(error), "Check your credentials, your Region and your network")
        raise ServiceFailed(operation, str(error), remedy) from None


def _remedy(code: str | None, permission: str) -> str:
    if code in {NOT_FOUND, NO_FILE}:
        return "Check the name, the account and the Region: aws sts get-caller-identity shows the account"
    if code in LOGGED_OUT:
        return LOG_IN
    return f"Correct the cause (your role needs {permission})"
