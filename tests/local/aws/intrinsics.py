"""What does a value in a template become, once CloudFormation has resolved its intrinsic functions?

Of the functions, this knows those that the project's template is written with, and of the types of resources, those
whose ARNs it asks for. Anything else raises Unresolvable: nothing is left as it stands.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_NO_VALUE: Final = object()
_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")


class Unresolvable(Exception):
    """The template says something that this module does not know, or names what is not there."""


@dataclass(frozen=True)
class _Kind:
    """How resources of one type are named, and what their ARNs are."""

    name: str = ""
    """The property that names one; if it is absent, the stack names the resource."""
    arn: str = ""
    ref_is_arn: bool = False


_KINDS = {
    "AWS::Events::Rule": _Kind("Name", "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/{}"),
    "AWS::IAM::ManagedPolicy": _Kind(
        "ManagedPolicyName", "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/{}", ref_is_arn=True
    ),
    "AWS::IAM::Role": _Kind("RoleName", "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/{}"),
    "AWS::Lambda::Function": _Kind(
        "FunctionName", "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:{}"
    ),
    "AWS::Logs::LogGroup": _Kind(
        "LogGroupName", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:{}:*"
    ),
    "AWS::StepFunctions::StateMachine": _Kind(
        "StateMachineName",
        "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:{}",
        ref_is_arn=True,
    ),
    "AWS::SNS::Topic": _Kind(
        "TopicName", "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:{}", ref_is_arn=True
    ),
}


_FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "Fn::And": lambda *conditions: all(conditions),
    "Fn::Contains": lambda items, item: str(item) in map(str, items),
    "Fn::EachMemberEquals": lambda items, item: all(each == item for each in items),
    "Fn::EachMemberIn": lambda items, others: all(each in others for each in items),
    "Fn::Equals": lambda one, other: str(one) == str(other),
    "Fn::Join": lambda separator, items: separator.join(map(str, items)),
    "Fn::Not": lambda condition: not condition,
    "Fn::Or": lambda *conditions: any(conditions),
    "Fn::Select": lambda index, items: items[int(index)],
    "Fn::Split": lambda separator, text: text.split(separator),
}
"""Those that need nothing but their arguments. Contains and EachMember… are for Rules only."""


@dataclass(frozen=True)
class Resolver:
    """A template, and the values of its parameters and of the pseudo parameters."""

    template: Mapping[str, Any]
    values: Mapping[str, object]
    """By name; of a list, its items separated by commas, as CloudFormation is given them."""

    def resolve(self, value: Any) -> Any:  # noqa: ANN401 - whatever a template holds
        """Return what stands there in the end; what is AWS::NoValue is gone. Raises Unresolvable."""
        resolved = self._resolved(value)
        if resolved is _NO_VALUE:
            raise Unresolvable("AWS::NoValue, where nothing is around it to be left out of")
        return resolved

    def holds(self, condition: str) -> bool:
        """Tell whether one of the template's conditions holds. Raises Unresolvable."""
        try:
            return bool(self._resolved(self.template["Conditions"][condition]))
        except KeyError:
            raise Unresolvable(f"the condition {condition}") from None

    def name(self, logical_id: str) -> str:
        """Return the name that a resource gets. Raises Unresolvable."""
        resource, kind = self._resource(logical_id)
        given = resource.get("Properties", {}).get(kind.name)
        return str(self.resolve(given)) if given else f"{self._value('AWS::StackName')}-{logical_id}"

    def arn(self, logical_id: str) -> str:
        """Return the ARN that a resource gets. Raises Unresolvable."""
        resource, kind = self._resource(logical_id)
        if not kind.arn:
            raise Unresolvable(f"the ARN of {logical_id}, of type {resource['Type']}")
        return self._substituted(kind.arn, {}).replace("{}", self.name(logical_id))

    def _resolved(self, value: Any) -> Any:  # noqa: ANN401
        match value:
            case dict():
                if len(value) == 1:
                    [(key, argument)] = value.items()
                    if key in {"Ref", "Condition"} and isinstance(argument, str):
                        return self._reference(argument) if key == "Ref" else self.holds(argument)
                    if key.startswith("Fn::"):
                        return self._function(key, argument)
                members = {key: self._resolved(member) for key, member in value.items()}
                return {key: member for key, member in members.items() if member is not _NO_VALUE}
            case list():
                return [item for item in map(self._resolved, value) if item is not _NO_VALUE]
            case _:
                return value

    def _reference(self, name: str) -> Any:  # noqa: ANN401
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self.template.get("Resources", {}):
            _, kind = self._resource(name)
            return self.arn(name) if kind.ref_is_arn else self.name(name)
        return self._value(name)

    def _function(self, name: str, argument: Any) -> Any:  # noqa: ANN401
        match name, argument:
            case "Fn::If", [str(condition), then, otherwise]:
                return self._resolved(then if self.holds(condition) else otherwise)
            case "Fn::Sub", str(text):
                return self._substituted(text, {})
            case "Fn::Sub", [str(text), dict(own)]:
                return self._substituted(text, self._resolved(own))
            case "Fn::GetAtt", [str(logical_id), str(attribute)]:
                return self._attribute(logical_id, attribute)
            case "Fn::GetAtt", str(text):
                return self._attribute(*text.split(".", 1))
            case _ if name in _FUNCTIONS:
                return _FUNCTIONS[name](*self._resolved(argument))
            case _:
                raise Unresolvable(f"{name} of {argument}")

    def _attribute(self, logical_id: str, attribute: str) -> str | list[str]:
        if attribute == "DnsEntries":
            return [f"Z1:{self.name(logical_id).lower()}.vpce.{self._value('AWS::URLSuffix')}", "Z1:of-one-zone"]
        if attribute not in {"Arn", "TopicArn"}:
            raise Unresolvable(f"the attribute {attribute} of {logical_id}")
        return self.arn(logical_id)

    def _substituted(self, text: str, own: Mapping[str, object]) -> str:
        def value(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in own:
                return str(own[name])
            if "." in name:
                return str(self._attribute(*name.split(".", 1)))
            return str(self._reference(name))

        return _PLACEHOLDER.sub(value, text)

    def _value(self, name: str) -> Any:  # noqa: ANN401
        """The value of a parameter or a pseudo parameter."""
        parameter = self.template.get("Parameters", {}).get(name, {})
        value = self.values.get(name, parameter.get("Default"))
        if value is None:
            raise Unresolvable(f"the reference to {name}")
        if "List" in parameter.get("Type", ""):
            return [item.strip() for item in str(value).split(",")]
        return value

    def _resource(self, logical_id: str) -> tuple[Mapping[str, Any], _Kind]:
        resource = self.template.get("Resources", {}).get(logical_id)
        if resource is None or ("Condition" in resource and not self.holds(resource["Condition"])):
            raise Unresolvable(f"the resource {logical_id}, which is not made")
        return resource, _KINDS.get(resource["Type"], _Kind())
