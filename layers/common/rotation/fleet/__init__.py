"""Rotates many secrets at once, for example after a leak.

A state machine of the stack does it (`RotateAllMachine` in template.yaml). One execution plans: it lists the secrets,
asks their rotation functions for the servers, and writes the plan into a bucket. Another one rotates what is planned:
many servers at a time, and of each server a few secrets at a time.

    plan        the secrets that are meant, by server
    files       the plan and the outcomes, in the bucket
    outcome     did a secret's rotation end, and if not, why?
    handler     what the state machine calls

No function of this package reads the value of a secret.
"""
