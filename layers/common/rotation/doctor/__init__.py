"""What has happened to a secret whose rotation is stuck, and what repairs it?

A doctor reads the versions of the secret, tries which of them log in, says what happened as far as that shows it, and
lists the commands and statements that repair it, in order. It changes nothing, unless an operator asks for a repair
and the function allows it: then it moves labels, and does nothing else.

    versions      reads: which versions there are, with which labels, and whose logins they hold
    case          what was found, before anybody says what it means
    trials        logs in: which versions work, with few tries
    diagnosis     decides: what happened to the versions, and what repairs it
    pair          has the admin look at what would stop the next rotation of a pair
    repairs       words each repair as a command, and carries out those that are safe
    examination   does all that for one secret, in order
    doctor        answers an operator, as JSON
"""
