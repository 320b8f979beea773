"""How is CloudFormation answered? Without an answer it waits for an hour.

CloudFormation asks to create, update or delete a custom resource. It accepts the answer at an address that is signed
for this one answer. Anybody who knows the address can answer in our place, so it is shown to nobody. Anybody with
permission to invoke the function can send an event with an address of their own, so only addresses of CloudFormation
are used.
"""

import json
import os
import re
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rotation.deadline import Deadline
from rotation.errors import InvalidEvent, ServiceFailed
from rotation.hosts import allows_local_hosts

OPERATION = "answering CloudFormation"
LONGEST_REASON = 1000
"""Characters; an answer can have 4096 bytes
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html)."""
PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each attempt."""
ANSWER_SECONDS = 5.0
"""How long one attempt takes at most."""

BUCKET = "cloudformation-custom-resource-response-"
"""The start of the name of CloudFormation's bucket for answers; the Region without its hyphens follows
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/vpc-interface-endpoints.html)."""
ADDRESS = re.compile(r"https://(?P<host>[^/]+)/[!-~]*")
STAND_IN = re.compile(r"http://127\.0\.0\.1:[0-9]+/[!-~]*")
"""The address of the stand-in for CloudFormation in tests."""

type Event = Mapping[str, Any]


def answer(event: Event, refusal: str | None, deadline: Deadline) -> None:
    """Tell CloudFormation that the request succeeded, or why it did not.

    Can be repeated. Raises InvalidEvent if the address is not CloudFormation's, ServiceFailed if no attempt to deliver
    the answer succeeds, and OutOfTime if there is no time for a first one.
    """
    url = event.get("ResponseURL")
    if not isinstance(url, str) or not _is_cloudformations(url):
        cause = "its ResponseURL is not one of CloudFormation in this Region"
        raise InvalidEvent(OPERATION, cause, "Let only CloudFormation invoke this function")
    body, cause = json.dumps(_answer(event, refusal), ensure_ascii=False).encode(), ""
    for pause in PAUSES:
        if cause and deadline.left() <= pause:
            break
        deadline.pause(pause, OPERATION)
        cause = _put(url, body, deadline.allow(ANSWER_SECONDS, OPERATION))
        if not cause:
            return
    raise ServiceFailed(OPERATION, cause, "Wait: Lambda invokes this function again, twice")


def _is_cloudformations(url: str) -> bool:
    """Tell whether the address is CloudFormation's bucket for answers in this Region, under any of its names."""
    region, suffix = os.environ.get("AWS_REGION", ""), os.environ.get("URL_SUFFIX", "amazonaws.com")
    bucket = BUCKET + region.replace("-", "")
    hosts = {f"{bucket}.s3.{region}.{suffix}", f"{bucket}.s3-{region}.{suffix}"}
    if region == "us-east-1":  # in other Regions the name without a Region can belong to another partition and owner
        hosts.add(f"{bucket}.s3.{suffix}")
    match = ADDRESS.fullmatch(url)
    return (match is not None and match["host"] in hosts) or (allows_local_hosts() and bool(STAND_IN.fullmatch(url)))


def _answer(event: Event, refusal: str | None) -> dict[str, Any]:
    outcome = {"Status": "SUCCESS"} if refusal is None else {"Status": "FAILED", "Reason": refusal[:LONGEST_REASON]}
    asked = {key: event.get(key) for key in ("StackId", "RequestId", "LogicalResourceId")}
    # A new id would be a new resource: CloudFormation would delete the one before.
    known = event.get("PhysicalResourceId") or f"{asked['StackId']}/{asked['LogicalResourceId']}"
    return {**outcome, "PhysicalResourceId": known, **asked}


def _put(url: str, body: bytes, seconds: float) -> str:
    """Return why the answer was not delivered; nothing of an exception's text, which can hold the address.

    Redirects are not followed: urllib follows them for GET, HEAD and POST only.
    """
    # The signature is for a request without a content type, and urllib would add one.
    request = Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - the address is CloudFormation's
    try:
        with urlopen(request, timeout=seconds):  # noqa: S310
            return ""
    except HTTPError as error:
        error.close()
        return f"the answer was refused with HTTP {error.code}"
    except (OSError, HTTPException) as error:
        return f"the answer could not be delivered ({type(getattr(error, 'reason', error)).__name__})"
