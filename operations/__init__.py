"""What does an operator do to a stack, besides deploying it?

Each command is a module: `python -m operations.uninstall --help`. They run on the operator's machine, with the
operator's AWS credentials, and need boto3 and the layer's package `rotation`; `make` gives them both. A command says
what it is about to do, asks, and then acts. None of them reads the value of a secret.
"""
