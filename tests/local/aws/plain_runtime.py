"""What stands in for the Lambda runtime on systems on which its emulator does not run?

A script on its own, started for each call as `plain_runtime.py HANDLER RESULT_FILE`, with the event on
standard input and everything else in the environment, as Lambda has it. What the handler returns or raises is
written to the file, in the form that Lambda answers with.
"""

import importlib
import json
import os
import sys
import time
import traceback
import uuid
from pathlib import Path


class _Context:
    """What Lambda tells a handler about the call."""

    def __init__(self) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = "$LATEST"
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = str(uuid.uuid4())
        self.invoked_function_arn = (
            f"arn:aws:lambda:{os.environ['AWS_REGION']}:012345678912:function:{self.function_name}"
        )
        self._deadline = time.monotonic() + float(os.environ["AWS_LAMBDA_FUNCTION_TIMEOUT"])

    def get_remaining_time_in_millis(self) -> int:
        return max(0, round((self._deadline - time.monotonic()) * 1000))


def main() -> None:
    """Call the handler once."""
    handler, result_file = sys.argv[1:]
    context = _Context()
    try:
        module, function = handler.rsplit(".", 1)
        result = getattr(importlib.import_module(module), function)(json.load(sys.stdin), context)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is its answer
        traceback.print_exc()
        result = {"errorType": type(error).__name__, "errorMessage": str(error)}
    Path(result_file).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
