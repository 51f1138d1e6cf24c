"""Who sends a request."""

from matengine.engine.access import LOCAL, User


def current_user() -> User:
    """The user of the request that is being answered: whoever is here, as logins are off."""
    return LOCAL
