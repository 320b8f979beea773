"""How does a step run call by call, so that anything can happen between two calls?

Each invocation has a thread of its own, and at most one thread runs at a time: before every call to Secrets Manager or
to the database it stops, and goes on when the model says so. So who comes first is the model's choice, not the
machine's, and the same choices lead to the same end every time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Lock, Thread

from rotation.credential import Credential
from rotation.errors import RotationError
from rotation.steps import Step


class Fault(Enum):
    """What can become of one call."""

    REFUSED = auto()
    """It is not done: throttled, or a connection that breaks before it."""
    LOST = auto()
    """It is done, and nobody gets to know."""
    TIME_IS_UP = auto()
    """It is done, and took all the time that there was."""


class Killed(BaseException):
    """The process is gone: nothing of it may do anything any more."""


@dataclass
class Login:
    """A login that was tried."""

    credential: Credential
    answer: str = "silence"
    """Accepted, refused, or silence."""


@dataclass
class Invocation:
    """One step of one version, under way."""

    token: str
    step: Step
    perform: Callable[[], str]
    seconds: float = 30.0
    """What Lambda still gives."""
    calls: int = 0
    """How many were made, or at least begun."""
    made: list[str] = field(default_factory=list)
    """Those calls."""
    next_call: str = ""
    """The one before which it waits."""
    fault: Fault | None = None
    """What becomes of that one."""
    was_disturbed: bool = False
    """Whether a fault has happened to it."""
    was_overtaken: bool = False
    """Whether labels were moved since the state that it saw: what it does from then on nobody can hold it to."""
    saw_past: bool = False
    """Whether an answer was from the past."""
    believed: str | None = None
    """The version that had AWSCURRENT in the last answer of the past that said where all labels are."""
    was_deceived: bool = False
    """Whether it was shown a state from before its own version became current. It cannot know that it comes again."""
    was_staged: bool = True
    """Whether its version had AWSPENDING or AWSCURRENT at the beginning."""
    was_current: bool = False
    """Whether its version was the current one from the beginning."""
    rights_changed: bool = False
    """Whether somebody has changed rights since it began."""
    began_after: float = 0.0
    """From when the oldest answer can be that it gets, in seconds."""
    began_at: int = 0
    read_at: int = 0
    """When it began to read, the last time, what is recorded about the pair."""
    """When, in the model's own time."""
    login_user: str = ""
    """Whom AWSCURRENT named at the beginning."""
    must_rotate: bool = True
    """Whether the two users were, at the beginning, what a rotation has no reason to refuse."""
    has_looked: bool = False
    """Whether it has looked at the pair as the admin."""
    compared_at: int | None = None
    """When it compared the pair, or saw that the other user is absent."""
    compared: str = ""
    """The other user, as it was then."""
    differing: frozenset[str] | None = None
    """In which rights the two differed then; None if the other user was absent."""
    has_mirrored: bool = False
    """Whether it has begun to make the two equal."""
    equal: object = None
    """How it left them: a `tests.model.pair.Trace`."""
    logins: list[Login] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """What it began at the database though no time was left."""
    outcome: str | None = None
    error: RotationError | None = None
    defect: BaseException | None = None
    is_over: bool = False

    def __post_init__(self) -> None:
        self._may_go_on, self._has_stopped = Lock(), Lock()
        self._may_go_on.acquire()
        self._has_stopped.acquire()
        self._is_killed = False
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Run up to the first call."""
        self._thread.start()
        self._has_stopped.acquire()

    def go_on(self) -> None:
        """Make the next call, and run up to the one after it, or to the end."""
        self._may_go_on.release()
        self._has_stopped.acquire()

    def kill(self) -> None:
        """End it before the next call."""
        if not self.is_over:
            self._is_killed = True
            self.go_on()
        self._thread.join()

    def pause(self, call: str) -> Fault | None:
        """Wait for leave to make a call, and return what is to become of it. Runs on the invocation's own thread."""
        if self._is_killed:
            raise Killed
        self.next_call = call
        self._has_stopped.release()
        self._may_go_on.acquire()
        if self._is_killed:
            raise Killed
        self.calls += 1
        self.made.append(call)
        if self.seconds <= 0 and " " in call:  # Secrets Manager's operations are one word
            self.late.append(call)
        fault, self.fault = self.fault, None
        self.was_disturbed = self.was_disturbed or fault is not None
        if fault is Fault.TIME_IS_UP:
            self.seconds = 0.0
        return fault

    def _run(self) -> None:
        try:
            self.outcome = self.perform()
        except RotationError as error:
            self.error = error
        except Killed:
            pass
        except BaseException as defect:  # noqa: BLE001 - the model has to tell of it, on its own thread
            self.defect = defect
        finally:
            self.is_over = True
            self.next_call = ""
            self._has_stopped.release()
