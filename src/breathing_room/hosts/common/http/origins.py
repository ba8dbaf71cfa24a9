"""Who may use this server from a web page."""

from urllib.parse import urlsplit


def origin_allowed(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """Decide about a request.

    Args:
        origin: Its ``Origin`` header; whoever sends none is no web page.
        host: Its ``Host`` header: our own pages may always.
        allowed: The origins of the config.
    """
    if origin is None or "*" in allowed:
        return True
    return origin in allowed or (host is not None and urlsplit(origin).netloc == host)
