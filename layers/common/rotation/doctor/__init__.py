"""What has happened to a secret whose rotation is stuck, and what repairs it?

A doctor reads the versions of the secret, tries which of them log in, says what happened as far as that shows it, and
lists the commands and statements that repair it, in order. It changes nothing, unless an operator asks for a repair
and the function allows it: then it moves labels, and does nothing else.

    versions     reads: which versions there are, with which labels, and whose logins they hold
    trials       logs in: which of them work, with few tries
    diagnosis    decides: what happened, and what repairs it
    repairs      words each repair as a command, and carries out those that are safe
    doctor       answers an operator, as JSON
"""
