"""How is CloudFormation answered, which waits an hour for an answer that does not come?

It asks for a custom resource to be created, updated or deleted, and takes the answer at an address that is signed for
this one answer: who knows it can answer in our place, so nobody is shown it. Whoever may invoke the function can write
an event, too, with an address of their own. So only CloudFormation's are answered.
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

DOING = "answering CloudFormation"
LONGEST_REASON = 1000
"""Characters; an answer has at most 4096 bytes
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html)."""
PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each try."""
TIMEOUT = 5.0

BUCKET = "cloudformation-custom-resource-response-"
"""CloudFormation's bucket for the answers of a Region, before the Region's name without its hyphens
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/vpc-interface-endpoints.html)."""
ADDRESS = re.compile(r"https://(?P<host>[^/]+)/[!-~]*")
STAND_IN = re.compile(r"http://127\.0\.0\.1:[0-9]+/[!-~]*")
"""Where a laptop-sized CloudFormation takes answers."""

type Event = Mapping[str, Any]


def answer(event: Event, refusal: str | None, deadline: Deadline) -> None:
    """Tell CloudFormation that all is well, or why not.

    May be repeated. Raises InvalidEvent where the address to answer to is none of CloudFormation's, ServiceFailed where
    the answer is not taken, however often there is time to try, and OutOfTime where there is none to begin with.
    """
    url = event.get("ResponseURL")
    if not isinstance(url, str) or not _is_cloudformations(url):
        cause = "the event has no ResponseURL at which CloudFormation takes the answers of this Region"
        raise InvalidEvent(DOING, cause, "Leave it to CloudFormation to invoke this function")
    body, cause = json.dumps(_answer(event, refusal), ensure_ascii=False).encode(), ""
    for pause in PAUSES:
        if cause and deadline.left() <= pause:
            break
        deadline.pause(pause, DOING)
        cause = _put(url, body, deadline.allow(TIMEOUT, DOING))
        if not cause:
            return
    raise ServiceFailed(DOING, cause, "Lambda invokes this function again by itself, twice")


def _is_cloudformations(url: str) -> bool:
    """Tell whether CloudFormation takes answers at this address: at its bucket of this Region, by each name of that."""
    region, suffix = os.environ.get("AWS_REGION", ""), os.environ.get("URL_SUFFIX", "amazonaws.com")
    bucket = BUCKET + region.replace("-", "")
    hosts = {f"{bucket}.s3.{region}.{suffix}", f"{bucket}.s3-{region}.{suffix}"}
    if region == "us-east-1":  # elsewhere the name without a Region may be another partition's, and another owner's
        hosts.add(f"{bucket}.s3.{suffix}")
    match = ADDRESS.fullmatch(url)
    return (match is not None and match["host"] in hosts) or (allows_local_hosts() and bool(STAND_IN.fullmatch(url)))


def _answer(event: Event, refusal: str | None) -> dict[str, Any]:
    outcome = {"Status": "SUCCESS"} if refusal is None else {"Status": "FAILED", "Reason": refusal[:LONGEST_REASON]}
    asked = {key: event.get(key) for key in ("StackId", "RequestId", "LogicalResourceId")}
    # Another id than before would be another resource to CloudFormation, and the one before be deleted.
    known = event.get("PhysicalResourceId") or f"{asked['StackId']}/{asked['LogicalResourceId']}"
    return {**outcome, "PhysicalResourceId": known, **asked}


def _put(url: str, body: bytes, seconds: float) -> str:
    """Return why the answer was not taken, and nothing of an exception's text, which may hold the address.

    Nobody is followed: urllib does so for GET, HEAD and POST only.
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
