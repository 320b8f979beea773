"""What does the template say, without CloudFormation?"""

from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).parents[3] / "template.yaml"


class _Loader(yaml.CSafeLoader):  # the one in C: it takes a tenth of the time
    """Reads YAML with CloudFormation's short forms."""


def _intrinsic(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case _:
            raise TypeError(node)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path) -> dict[str, Any]:
    """The template as plain data; a short form stands as the long one: `!Ref x` as `{"Ref": "x"}`."""
    template: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a safe loader, see above
    return template


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type, by logical id."""
    # What stands below Fn::ForEach is a list, and made by CloudFormation.
    single = {name: one for name, one in template["Resources"].items() if isinstance(one, dict)}
    return {name: one["Properties"] for name, one in single.items() if one["Type"] == kind}


def engines(path: Path = SOURCE) -> list[str]:
    """Return each engine that the template has a function for, by its name there: PostgreSql, MySql and so on."""
    return [name.removesuffix("Function") for name in resources(load(path), "AWS::Serverless::Function")]


def function_properties(template: dict[str, Any], name: str) -> dict[str, Any]:
    """A function's properties, those that Globals give it included. Raises LookupError: no such function."""
    # Globals are for SAM's functions only.
    plain, functions = resources(template, "AWS::Lambda::Function"), resources(template, "AWS::Serverless::Function")
    if name in plain:
        return plain[name]
    if name not in functions:
        raise LookupError(f"no function {name} in the template, only {', '.join((*plain, *functions))}")
    merged: dict[str, Any] = _merged(template["Globals"]["Function"], functions[name])
    return merged


def _merged(common: Any, own: Any) -> Any:  # noqa: ANN401 - as SAM merges whatever stands there
    """Maps and lists are joined; of anything else, a function's own counts."""
    if isinstance(common, dict) and isinstance(own, dict):
        return {
            **common,
            **own,
            **{key: _merged(common[key], own[key]) for key in common.keys() & own.keys()},
        }
    if isinstance(common, list) and isinstance(own, list):
        return common + own
    return own


def literal(template: dict[str, Any], value: object) -> str | None:
    """A property's value as text, or the default of the parameter that it refers to; None: it is neither."""
    match value:
        case {"Ref": str(name)} if name in template["Parameters"]:
            return str(template["Parameters"][name]["Default"])
        case str() | int():
            return str(value)
        case _:
            return None
