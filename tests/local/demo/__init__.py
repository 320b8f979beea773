"""What does a newcomer run first? A real credential rotates while an application logs in again and again.

__main__      the command line
command       how it ends: also on Ctrl-C, also on failure
story         what happens, in which order
strategies    what there is to learn from each
scenario      what has to run: a laptop-sized AWS, and the function
laptop        the laptop-sized AWS alone: `make invoke` and `make aws` use it too
engines       the databases of the demo
databases     what an engine must offer
postgresql    PostgreSQL's part
mysql         MySQL's part, and MariaDB's
sqlserver     SQL Server's part, on a stand-in
application   the application that logs in again and again, and counts
screen        the output, in a terminal and elsewhere
"""


class DemoError(Exception):
    """The demo cannot continue, or a promise was broken; the message has the cause and the remedy."""
