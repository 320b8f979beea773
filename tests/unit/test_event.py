"""Is an event read as Secrets Manager writes it, and is anything else refused with a clear error?"""

import pytest

from rotation.errors import InvalidEvent
from rotation.event import RotationEvent
from rotation.steps import Step

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-AbCdEf"
TOKEN = "0b1c2d3e-0000-4000-8000-123456789abc"
EVENT = {"Step": "createSecret", "SecretId": ARN, "ClientRequestToken": TOKEN, "RotationToken": "the-rotation-token"}


@pytest.mark.parametrize("step", ["createSecret", "setSecret", "testSecret", "finishSecret"])
def test_an_event_of_each_step_is_read(step: str) -> None:
    assert RotationEvent.parse({**EVENT, "Step": step}) == RotationEvent(Step(step), ARN, TOKEN, "the-rotation-token")


@pytest.mark.parametrize("event", [{**EVENT, "RotationToken": None}, {k: EVENT[k] for k in list(EVENT)[:3]}])
def test_an_event_need_not_have_a_rotation_token(event: dict[str, object]) -> None:
    assert RotationEvent.parse(event).rotation_token is None


def test_unknown_keys_are_ignored() -> None:
    assert RotationEvent.parse({**EVENT, "Later": {}}) == RotationEvent.parse(EVENT)


@pytest.mark.parametrize("event", [None, "createSecret", 7, [], [EVENT]], ids=repr)
def test_an_event_that_is_no_object_is_refused(event: object) -> None:
    with pytest.raises(InvalidEvent, match="it is not a JSON object"):
        RotationEvent.parse(event)


@pytest.mark.parametrize("key", ["Step", "SecretId", "ClientRequestToken"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"], {}], ids=repr)
def test_a_key_that_is_no_string_is_named(key: str, value: object) -> None:
    with pytest.raises(InvalidEvent, match=f'"{key}"'):
        RotationEvent.parse({**EVENT, key: value})
    with pytest.raises(InvalidEvent, match=f'"{key}"'):
        RotationEvent.parse({name: value for name, value in EVENT.items() if name != key})


@pytest.mark.parametrize("token", ["", 7, {}], ids=repr)
def test_a_rotation_token_that_is_no_string_is_refused(token: object) -> None:
    with pytest.raises(InvalidEvent, match='"RotationToken"'):
        RotationEvent.parse({**EVENT, "RotationToken": token})


@pytest.mark.parametrize("step", ["CreateSecret", "create_secret", "createSecret ", "deleteSecret"])
def test_an_unknown_step_is_refused_and_not_quoted_and_the_known_ones_are_named(step: str) -> None:
    with pytest.raises(InvalidEvent, match='"Step" is none of createSecret, setSecret') as caught:
        RotationEvent.parse({**EVENT, "Step": step})
    assert step not in str(caught.value).replace("createSecret, ", "")


@pytest.mark.parametrize("length", [31, 65])
def test_a_version_token_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidEvent, match="32 to 64"):
        RotationEvent.parse({**EVENT, "ClientRequestToken": "x" * length})


def test_the_repr_hides_the_rotation_token() -> None:
    assert "the-rotation-token" not in repr(RotationEvent.parse(EVENT))
