"""Oracle Database, Amazon RDS for Oracle, and RDS Custom for Oracle (12.1 and later, by the client in thin mode).

Only the first login loads the client. That takes a quarter of a cold start (70 ms of processor time), and the step that
comes first, createSecret, does not log in.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.oracle.kind import KIND
from rotation.finding import Finding

if TYPE_CHECKING:
    from rotation.engines.oracle.session import OracleSession


class Oracle:
    """The engine; implements `rotation.engine.InspectedEngine`."""

    kind = KIND

    def connect(self, credential: Credential, deadline: Deadline) -> AbstractContextManager["OracleSession"]:
        """Log in; see `rotation.engine.Engine.connect`."""
        from rotation.engines.oracle.session import log_in  # noqa: PLC0415 - it loads the client

        return log_in(credential, deadline)

    def reach(self, credential: Credential, deadline: Deadline) -> Iterator[Finding]:
        """Say how far one gets without a login; see `rotation.engine.InspectedEngine`."""
        from rotation.engines.oracle.session import look_without_login  # noqa: PLC0415 - it loads the client

        return look_without_login(credential, deadline)
