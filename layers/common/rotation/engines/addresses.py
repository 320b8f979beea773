"""Where is a host? Looked up without waiting beyond the deadline: getaddrinfo itself knows no limit."""

import concurrent.futures
import socket

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.errors import Unreachable

LOOK_UP_SECONDS = 10.0


def look_up(credential: Credential, deadline: Deadline, doing: str) -> list[str]:
    """Return the addresses of the credential's host, at least one; raises Unreachable."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    answer = pool.submit(socket.getaddrinfo, credential.host, credential.port, type=socket.SOCK_STREAM)
    try:
        found = answer.result(deadline.allow(LOOK_UP_SECONDS, doing))
    except (OSError, TimeoutError) as error:
        cause = f"the name {credential.host} cannot be looked up ({type(error).__name__})"
        raise Unreachable(doing, cause, 'Correct "host" in the secret, or the DNS of the function\'s VPC') from None
    finally:
        pool.shutdown(wait=False)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
