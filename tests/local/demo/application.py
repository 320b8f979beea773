"""Which logins fail while a credential rotates? An application that only logs in finds out."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from tests.local.demo import DemoError
from tests.local.demo.databases import Login, LoginFailed

_PAUSE = 0.01
_PATIENCE = 10.0


@dataclass(frozen=True)
class Tally:
    """The logins of an application so far."""

    logins: int = 0
    failed: int = 0
    failing_since: float | None = None
    """When the first of the failing logins began; None if the last login succeeded."""
    gap: float = 0.0
    """How many seconds logins failed, in all: each time from the first failure to the next success."""
    last_failure: str | None = None

    def succeeded(self, began: float) -> Self:
        """Count a login that worked."""
        ended = 0.0 if self.failing_since is None else began - self.failing_since
        return replace(self, logins=self.logins + 1, failing_since=None, gap=self.gap + ended)

    def failed_with(self, failure: str, began: float) -> Self:
        """Count a login that failed."""
        since = began if self.failing_since is None else self.failing_since
        return replace(self, logins=self.logins + 1, failed=self.failed + 1, failing_since=since, last_failure=failure)


class Application:
    """Logs in again and again, on a thread of its own, from `with` to the end of the block.

    `read` gives it the credential before each login. `habit` says whether from the secret or from a cache.
    """

    def __init__(
        self, habit: str, read: Callable[[], Login], work: Callable[[Login], None], pause: float = _PAUSE
    ) -> None:
        """`pause`: seconds between two logins."""
        self.habit = habit
        self._pause = pause
        self.tally = Tally()
        self._read = read
        self._work = work
        self._counted = threading.Condition()
        self._over = threading.Event()
        self._defect: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"application that {habit}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def wait_for_more(self, logins: int) -> None:
        """Return after so many more logins, failed or not. Raises DemoError if the application cannot even try."""
        wanted = self.tally.logins + logins
        with self._counted:
            if not self._counted.wait_for(lambda: self._defect or self.tally.logins >= wanted, _PATIENCE):
                raise DemoError(
                    f"an application made fewer than {logins} logins in {_PATIENCE:.0f} s. Is this machine very busy?"
                )
        if self._defect:
            raise self._defect

    def _run(self) -> None:
        try:
            while not self._over.wait(self._pause):
                self._log_in()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            with self._counted:
                self._defect = error
                self._counted.notify_all()

    def _log_in(self) -> None:
        login = self._read()
        began = time.perf_counter()
        try:
            self._work(login)
        except LoginFailed as error:
            tally = self.tally.failed_with(str(error), began)
        else:
            tally = self.tally.succeeded(began)
        with self._counted:
            self.tally = tally
            self._counted.notify_all()
