"""How does a test have the next client of AWS made anew?"""

from rotation import announcements
from rotation.aws import own_clients, session
from rotation.fleet import files


def forget_clients() -> None:
    """Forget all clients, and the session that keeps the credentials that it found first.

    The next session has the descriptions of services that this one has read: to read them again takes longer than a
    test does.
    """
    descriptions = session().get_component("data_loader")
    for made_once in (session, own_clients, announcements.client, files.client):
        made_once.cache_clear()
    session().register_component("data_loader", descriptions)
