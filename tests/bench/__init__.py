"""How fast is a rotation, and what does it cost? `make bench` measures the built artifacts in Lambda's own emulator.

__main__      the command line
handlers      what is measured: our function, somebody else's, and the limit
running       a running function, and what the kernel counts of it
limit         the limit of a start: the smallest function that calls Secrets Manager
starts        cold starts
imports       what is imported, and what that costs
rotations     warm rotations: time, calls, messages, logins
gap           how long a reader of the secret cannot log in
sizes         the artifacts
growth        what a pair costs with very many rights, and on a server with very many users
growing       how they are made
growth_page   docs/growth.md, and its picture
figures       medians, spreads, ratios
report        tables for a terminal and for docs/bench.md, and a picture

Other work on the machine changes the time on the clock more than anything that we do. So the kernel's count of
processor time is shown beside it; and the functions take turns, so that a ratio compares what ran at the same time.
"""
