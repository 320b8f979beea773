"""Does the model notice when a guard of the program is taken out? `python -m tests.model.guards` prints a table.

Each guard is a piece of the source, and what is left of it. A copy of the program without it is put in front of the
real one, in a process of its own, and the model runs until a promise breaks.
"""

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "common"
EXAMPLES = 1500

SINGLE, ALTERNATING, DUAL = "single-user", "alternating-users", "dual-password"


@dataclass(frozen=True)
class Guard:
    """A piece of the program without which a promise breaks."""

    name: str
    module: str
    piece: str
    instead: str
    strategy: str
    """The one whose model is to notice."""

    def take_out(self, layer: Path) -> None:
        """Remove it from a copy of the layer."""
        path = layer / "rotation" / f"{self.module}.py"
        path.write_text(self.without(path.read_text()))

    def without(self, source: str) -> str:
        """Return the source of the module without it."""
        assert source.count(self.piece) == 1, f"{self.name}: {self.module}.py has changed"
        return source.replace(self.piece, self.instead)


GUARDS = [
    Guard(
        "createSecret looks whether its version is staged",
        "steps",
        "    if not rotation.secret.is_staged():",
        "    if False:",
        ALTERNATING,
    ),
    Guard(
        "a version without AWSPENDING is not read",
        "secret",
        "        if not is_staged(labels):\n            raise self._labels.not_staged()\n",
        "",
        SINGLE,
    ),
    Guard(
        "setSecret leaves a version alone that is current already",
        "steps",
        '    if pending == current:\n        return "the version is current already"\n',
        "",
        ALTERNATING,
    ),
    Guard(
        "createSecret and setSecret compare pending with current",
        "steps",
        "    if pending.credential != expected:\n",
        "    if False:\n",
        ALTERNATING,
    ),
    Guard(
        "finishSecret looks whether its version is pending",
        "staging",
        "        if not self._is_staged():\n            raise self.not_staged()\n",
        "",
        DUAL,
    ),
    Guard(
        "what was written once into a version stays",
        "secret",
        "        except ClientError:\n            return False\n        return True\n\n    def promote",
        "        except ClientError:\n"
        "            self.client.put_secret_value(SecretId=self.arn, ClientRequestToken=self.token[::-1],\n"
        "                SecretString=value.to_json(), VersionStages=[PENDING])\n"
        "            return False\n        return True\n\n    def promote",
        SINGLE,
    ),
    Guard(
        "the likeliest password comes first",
        "strategies",
        "if context.is_resumed() else [user, pending.credential]",
        "if True else [user, pending.credential]",
        SINGLE,
    ),
    Guard(
        "newer versions are tried",
        "logins",
        "context.newer(), NEWER_PASSWORDS",
        "context.newer(), 0",
        SINGLE,
    ),
    Guard(
        "only a few passwords are tried",
        "logins",
        "context.newer(), NEWER_PASSWORDS",
        "itertools.chain(context.newer(), context.earlier()), None",
        SINGLE,
    ),
    Guard(
        "passwords are tried at their own host only",
        "logins",
        "        if _same_place(one, user) and normal(one.username)",
        "        if normal(one.username)",
        SINGLE,
    ),
    Guard(
        "only a refused login leads to another credential",
        "logins",
        "        except LoginRefused as error:\n            refused = refused or error",
        "        except (LoginRefused, __import__('rotation.errors').errors.Unreachable) as error:\n"
        "            refused = refused or error",
        DUAL,
    ),
    Guard(
        "the current user logs in before the admin is used",
        "strategies",
        "            found, proof = log_in([current.credential], current, context, look_and_prove, admin)\n"
        "        except",
        "            pass\n        except",
        ALTERNATING,
    ),
    Guard(
        "an admin repairs only if that is allowed",
        "strategies",
        "    if not context.allow_admin_repair:\n",
        "    if False:\n",
        ALTERNATING,
    ),
    Guard(
        "a clone that nothing proves is left alone",
        "strategies",
        "            if (status := session.clone_status(user, other)) is CloneStatus.UNKNOWN:",
        "            if (status := session.clone_status(user, other)) is None:",
        ALTERNATING,
    ),
    Guard(
        "a name alone proves nothing",
        "strategies",
        "            return log_in_first([at_admins_place(credential, admin, context)], context, prove)",
        "            return Proof(other, credential.password, '')",
        ALTERNATING,
    ),
    Guard(
        "the password that a step has set before it was cut off proves a clone",
        "strategies",
        "    if context.engine.kind.clone_may_lack_mark and context.pair.record() != PairRecord():",
        "    if False:",
        ALTERNATING,
    ),
    Guard(
        "the password is written last",
        "strategies",
        "            equal = mirror(",
        "            if status is CloneStatus.ABSENT:\n"
        "                context.pair.write_record(context.pair.record().beginning(None))\n"
        "                session.mirror(user, other)\n"
        "            else:\n"
        "                from rotation.mirroring import _require_known\n"
        "                _require_known(session, user, other, context.pair)\n"
        "            session.set_password(other, pending.credential.password)\n"
        "            equal = mirror(",
        ALTERNATING,
    ),
    Guard(
        "testSecret compares the rights of the pair",
        "strategies",
        "        if self.kind.clone_sees_rights:\n            other = pending.credential.username\n",
        "        if False:\n            other = pending.credential.username\n",
        ALTERNATING,
    ),
    Guard(
        "what may undo a change of the other user is refused",
        "record",
        "        if comparison.differences and _of(other, comparison.other_state) not in self.equal:",
        "        if False:",
        ALTERNATING,
    ),
    Guard(
        "a user that an administrator locked stays locked",
        "record",
        "        if comparison.unlock and not self._began_to_lock(comparison, comparison.unlock):",
        "        if False:",
        ALTERNATING,
    ),
    Guard(
        "what a rotation begins to change is recorded first",
        "mirroring",
        "        pair.write_record(begun)\n",
        "        pass\n",
        ALTERNATING,
    ),
    Guard(
        "only what a rotation had begun to change is ended without asking",
        "record",
        "        return self.begun == EVERYTHING or {_hash(text) for text in comparison.sentences} <= self.begun",
        "        return True",
        ALTERNATING,
    ),
    Guard(
        "the record says that the rotation has ended after the password only",
        "strategies",
        "            session.set_password(other, pending.credential.password)\n        record_end(",
        "            record_end(context.pair, equal.finding(found), lambda: None)\n"
        "            session.set_password(other, pending.credential.password)\n"
        "        (lambda *_: None)(",
        ALTERNATING,
    ),
    Guard(
        "what is recorded is how the rotation left the two",
        "mirroring",
        "    return ended(comparison, user, other)",
        "    equal = ended(comparison, user, other)\n"
        "    return PairRecord(frozenset({before.other_state})) if before else equal",
        ALTERNATING,
    ),
    Guard(
        "what was recorded before is replaced",
        "secret",
        "        for label in sorted(seen.keys() - record.labels):",
        "        for label in ():",
        ALTERNATING,
    ),
    Guard(
        "createSecret moves the record to the new version",
        "secret",
        "VersionStages=[PENDING, *sorted(self._labels.record)],",
        "VersionStages=[PENDING],",
        ALTERNATING,
    ),
    Guard(
        "testSecret logs in",
        "steps",
        "        _test(rotation, strategy, value)\n    except LoginRefused as refused:\n        if not",
        "        pass\n    except LoginRefused as refused:\n        if not",
        DUAL,
    ),
    Guard(
        "the admin changes what the user may not, if the user logs in",
        "strategies",
        "        with _admin_for(left, current, context) as session:\n"
        "            session.reset_password(user.username, password)\n",
        "",
        SINGLE,
    ),
    Guard(
        "the password that is kept is the one that logs in",
        "strategies",
        "two.add_password(credential.username, credential.password, password)",
        "two.add_password(credential.username, password, password)",
        DUAL,
    ),
    Guard(
        "the admin's host is the secret's",
        "admin",
        "            self._require_related(admin, value.credential)",
        "            admin = replace(admin, host=value.credential.host)",
        ALTERNATING,
    ),
    Guard(
        "an answer that contradicts the event is asked for again",
        "staging",
        "    for pause in filter(deadline.outlasts, PAUSES):",
        "    for pause in ():",
        SINGLE,
    ),
    Guard(
        "a version that is shown without its labels is read again",
        "secret",
        "            lambda found: found is not None and is_staged(found[1]),",
        "            lambda found: found is not None,",
        SINGLE,
    ),
    Guard(
        "two answers agree which version is current",
        "secret",
        "        if found and CURRENT in found[1]:",
        "        if found:",
        ALTERNATING,
    ),
    Guard(
        "the value of a newer version is waited for",
        "secret",
        '                elif is_recent(version["CreatedDate"].timestamp()):',
        "                elif False:",
        DUAL,
    ),
    Guard(
        "a step knows what it has recorded, also if an answer that is too old does not show it",
        "staging",
        "        self.known.add(label)\n",
        "",
        ALTERNATING,
    ),
    Guard(
        "a label that is not where it was seen is looked for again",
        "staging",
        "{WRONG} if pause else set()",
        "set()",
        ALTERNATING,
    ),
    Guard(
        "no message holds a password",
        "credential",
        'return f"{self.username} at {self.host}:{self.port}{assumed}"',
        'return f"{self.username}:{self.password} at {self.host}:{self.port}"',
        SINGLE,
    ),
    Guard(
        "without time nothing is begun",
        "deadline",
        "        if left < SHORTEST_ATTEMPT_SECONDS:\n",
        # Once only: what tries again while time is left would go on for ever.
        "        left = left if left < -60 else 60.0\n        if left < SHORTEST_ATTEMPT_SECONDS:\n",
        SINGLE,
    ),
]

SCRIPT = """
import os, sys
sys.path[:0] = [{layer!r}, {root!r}]
from tests.model.finding import find
found = find({strategy!r}, {examples})
if found:
    print(*found, flush=True)
os._exit(0)  # without its guards, the program may have left threads behind that wait for ever
"""


def main() -> int:
    """Take out each guard, and print what missed it; return 1 if one was not missed."""
    print("| without | noticed by the model of | after examples | because |\n| --- | --- | --- | --- |")  # noqa: T201
    unnoticed = 0
    with ThreadPoolExecutor(2) as pool:
        for guard, finding in zip(GUARDS, pool.map(_missed, GUARDS), strict=True):
            print(f"| {' | '.join((guard.name, guard.strategy, *finding))} |", flush=True)  # noqa: T201 - this is its purpose
            unnoticed += not finding[0]
    return min(unnoticed, 1)


def _missed(guard: Guard) -> tuple[str, str]:
    """Return after how many examples it was missed, and how; nothing if it was not."""
    with tempfile.TemporaryDirectory() as folder:
        layer = Path(folder) / "common"
        shutil.copytree(LAYER, layer, ignore=shutil.ignore_patterns("__pycache__", "certs"))
        guard.take_out(layer)
        script = SCRIPT.format(layer=str(layer), root=str(ROOT), strategy=guard.strategy, examples=EXAMPLES)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
    if done.returncode:
        return "", done.stderr.strip().splitlines()[-1]
    found = done.stdout.strip().rpartition("\n")[2]  # what comes before are the search's own words
    examples, _, why = found.partition(" ")
    return examples, why or "nothing was noticed"


if __name__ == "__main__":
    sys.exit(main())
