"""Which calls of Secrets Manager are too many for one second?"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from tests.local.aws.secrets_manager_versions import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local.aws.secrets_manager import Call, Phase

# For an account in a Region: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
QUOTAS: Final = {
    ("RotateSecret", "CancelRotateSecret"): 50,
    ("PutSecretValue", "UpdateSecretVersionStage"): 50,
    ("TagResource", "UntagResource"): 50,
    ("ListSecretVersionIds",): 50,
    ("ListSecrets",): 100,
    ("DescribeSecret",): 40_000,
    ("GetSecretValue",): 10_000,
}
"""How many calls of these operations, all together, are answered in a second."""


class Quotas:
    """Refuses what is too much; `LocalSecretsManager.intercept` takes it. A quota is shared with other callers."""

    def __init__(self, now: Callable[[], float], share: float = 1) -> None:
        """Take what tells the time in seconds, and which part of the quotas others leave."""
        self._now = now
        self._share = share
        self._calls: dict[tuple[str, ...], deque[float]] = {operations: deque() for operations in QUOTAS}
        self.refused = 0

    def __call__(self, call: Call, phase: Phase) -> None:
        """Refuse the call if there were too many in the last second."""
        if phase == "after":
            return
        for operations, most in QUOTAS.items():
            if call.operation in operations:
                self._count(self._calls[operations], most * self._share)

    def _count(self, calls: deque[float], most: float) -> None:
        now = self._now()
        while calls and calls[0] <= now - 1:
            calls.popleft()
        if len(calls) >= most:
            self.refused += 1
            raise ServiceError("ThrottlingException", "Rate exceeded")
        calls.append(now)
