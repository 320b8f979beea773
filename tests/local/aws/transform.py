"""What does CloudFormation see of a template, once AWS::LanguageExtensions and SAM have transformed it?

A program of its own, run with the Python that has SAM: to import SAM takes longer than to transform. It reads requests
from standard input, each the JSON of a template's path, and of the values of parameters and pseudo parameters, the
Region's among them; to each it writes one line, the transformed template's JSON. It does what `sam validate` does, but
offline.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samcli.lib.translate.sam_template_validator import SamTemplateValidator  # type: ignore[import-not-found]
from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]


class _NoManagedPolicies:
    """Knows no policy of AWS by its bare name."""

    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    """End with a traceback where SAM does not take a template."""
    for request in _requests():
        validator = SamTemplateValidator(
            yaml_parse(Path(request["template"]).read_text()),
            _NoManagedPolicies(),
            region=request["values"]["AWS::Region"],
            parameter_overrides=request["values"],
            language_extensions_enabled=True,
        )
        print(json.dumps(yaml_parse(validator.get_translated_template_if_valid())), flush=True)


def _requests() -> Iterator[dict[str, Any]]:
    """Yield each request as soon as it is complete, which may be a line or several."""
    text = ""
    for line in sys.stdin:
        text += line
        try:
            request = json.loads(text)
        except ValueError:
            continue
        text = ""
        yield request


if __name__ == "__main__":
    main()
