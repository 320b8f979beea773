"""What would be there after a deployment: which functions, with which settings, and what may their roles do?

Nothing is deployed. The template is transformed by SAM (transform.py), its intrinsic functions are resolved here
(intrinsics.py), and what its roles allow can be asked of iam.py.
"""

import atexit
import functools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any, Self

from tests.local.aws.iam import Role, Unsupported
from tests.local.aws.intrinsics import Resolver

_CHECKOUT = Path(__file__).parents[3]
_SAM_PYTHON = _CHECKOUT / ".local/sam/bin/python"
_TRANSFORM = Path(__file__).with_name("transform.py")

BUILT_TEMPLATE = _CHECKOUT / ".local/build/template.yaml"

_GRANTS = frozenset({"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"})


@dataclass(frozen=True)
class Stack:
    """A template's resources, as they would be made for given values of its parameters."""

    resolver: Resolver

    @classmethod
    def deploy(
        cls,
        template: Path = BUILT_TEMPLATE,
        *,
        name: str = "rotation",
        region: str,
        account_id: str,
        parameters: Mapping[str, str] | None = None,
    ) -> Self:
        """Raises ValueError where SAM does not take the template."""
        values = {
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::Region": region,
            "AWS::AccountId": account_id,
            "AWS::StackName": name,
            **(parameters or {}),
        }
        transformed = json.loads(_transformed(template, template.stat().st_mtime_ns, json.dumps(values)))
        return cls(Resolver(transformed, values))

    @functools.cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Those that are made, by logical id; what they say is not resolved."""
        return {
            logical_id: resource
            for logical_id, resource in self.resolver.template["Resources"].items()
            if "Condition" not in resource or self.resolver.holds(resource["Condition"])
        }

    @functools.cached_property
    def roles(self) -> dict[str, Role]:
        """The roles by logical id, each with all of its policies. Raises Unresolvable, Unsupported."""
        return {logical_id: self._role(logical_id) for logical_id in self.of_type("AWS::IAM::Role")}

    def of_type(self, kind: str) -> list[str]:
        """Return the logical ids of all resources of a type."""
        return [logical_id for logical_id, resource in self.resources.items() if resource["Type"] == kind]

    def properties(self, logical_id: str) -> dict[str, Any]:
        """Return the properties of a resource. Raises Unresolvable."""
        properties: dict[str, Any] = self.resolver.resolve(self.resources[logical_id].get("Properties", {}))
        return properties

    def environment(self, function: str) -> dict[str, str]:
        """Return the variables that a function is given. Raises Unresolvable."""
        variables = self.properties(function)["Environment"]["Variables"]
        return {name: str(value) for name, value in variables.items()}

    def role_of(self, function: str) -> Role:
        """Return the role of a function. Raises Unresolvable, Unsupported."""
        arn = self.properties(function)["Role"]
        [role] = [role for logical_id, role in self.roles.items() if self.resolver.arn(logical_id) == arn]
        return role

    def _role(self, logical_id: str) -> Role:
        properties, name = self.properties(logical_id), self.resolver.name(logical_id)
        if "PermissionsBoundary" in properties:
            raise Unsupported(f"the permissions boundary of {logical_id}")
        session = {"Fn::Sub": f"arn:${{AWS::Partition}}:sts::${{AWS::AccountId}}:assumed-role/{name}/session"}
        return Role.of(name, self.resolver.resolve(session), self._policies(properties))

    def _policies(self, role: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the documents of a role's policies, wherever the template says them. Raises Unsupported."""
        if others := {one["Type"] for one in self.resources.values() if "::IAM::" in one["Type"]} - _GRANTS:
            raise Unsupported(f"policies in resources of the types {', '.join(sorted(others))}")
        yield from (document_of(policy) for policy in role.get("Policies", []))
        managed = {self.resolver.arn(one): self.properties(one) for one in self.of_type("AWS::IAM::ManagedPolicy")}
        if any("Roles" in policy for policy in managed.values()):
            raise Unsupported("a policy that names its roles, instead of roles that name their policies")
        for arn in role.get("ManagedPolicyArns", []):
            if arn not in managed:
                raise Unsupported(f"the policy {arn}, which is not in the template")
            yield document_of(managed[arn])


def document_of(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a policy, which can be written as a text."""
    document = policy["PolicyDocument"]
    parsed: dict[str, Any] = json.loads(document) if isinstance(document, str) else document
    return parsed


@functools.cache
def _transformed(template: Path, _changed: int, values: str) -> str:
    """Return the transformed template's JSON. Raises ValueError: SAM's reason for not taking it."""
    sam, said = _sam()
    assert sam.stdin
    assert sam.stdout
    sam.stdin.write(json.dumps({"template": str(template), "values": json.loads(values)}) + "\n")
    sam.stdin.flush()
    if answer := sam.stdout.readline():
        return answer
    _sam.cache_clear()  # it has ended
    said.seek(0)
    raise ValueError(f"SAM does not take {template}: {said.read()}")


@functools.cache
def _sam() -> tuple[subprocess.Popen[str], IO[str]]:
    """Start the program that transforms; return it, and where its errors go. It ends with this process."""
    # Nothing of the caller's: no profile, no Region, no wish to be counted.
    environment = {"PATH": os.defpath, "SAM_CLI_TELEMETRY": "0"}
    with ExitStack() as stack:
        said = stack.enter_context(tempfile.TemporaryFile("w+"))
        sam = subprocess.Popen(  # noqa: S603 - the words are ours
            [_SAM_PYTHON, _TRANSFORM], stdin=PIPE, stdout=PIPE, stderr=said, text=True, env=environment
        )
        stack.enter_context(sam)
        atexit.register(stack.pop_all().close)
    return sam, said
