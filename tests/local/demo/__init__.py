"""What does a stranger run first? A real credential rotates, with an application that logs in all the while.

__main__      the command line
command       how it ends: also on Ctrl-C, also on failure
story         what happens, in which order
strategies    what there is to learn from each
scenario      what has to run: a laptop-sized AWS, and the function
laptop        the laptop-sized AWS alone: `make invoke` and `make aws` use it too
engines       which databases there are
databases     what an engine has to offer
postgresql    PostgreSQL's part
mysql         MySQL's part, and MariaDB's
sqlserver     SQL Server's part, which is a stand-in's
application   the application that logs in all the while, and counts
screen        how it looks, in a terminal and elsewhere
"""


class DemoError(Exception):
    """It could not go on, or a promise was broken; the message has the cause and the remedy."""
