"""Logs without addresses, visitor ids and agent strings.

No code here logs one on purpose. Libraries might, in a message or a traceback, so every record passes a
formatter that redacts text that looks like one.
"""

import ipaddress
import logging
import re
import traceback
from typing import Any, Final

REDACTED: Final = "[redacted]"

CHAIN_MAX: Final = 8
"""The longest chain of causes that is logged; a chain may have a cycle."""

# With the time, the port of a peer identifies a subscriber behind carrier-grade NAT.
_PORT: Final = r"(?:\]?['\"]?(?:,\s|:|,\sport=)\d{1,5}\b(?![.\w]))?"
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)" + _PORT)
_MAYBE_IPV6: Final = re.compile(
    r"(?<![\w:.])((?=[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:)[0-9A-Fa-f:.]{2,45}(?:%\w+)?)(?![\w:])" + _PORT
)
_ID: Final = re.compile(r"((?:sessionId|visitor)['\"]?\s*[=:]\s*['\"]?)[^&\s'\"\\]+", re.IGNORECASE)
_AGENT: Final = re.compile(r"(user-agent['\"]?\s*[,:=]\s*b?['\"])[^'\"]*", re.IGNORECASE)


def redact(text: str) -> str:
    """Replace text that looks like an address, a visitor id or an agent string."""
    text = _ID.sub(rf"\g<1>{REDACTED}", text)
    text = _AGENT.sub(rf"\g<1>{REDACTED}", text)
    text = _IPV4.sub(REDACTED, text)
    return _MAYBE_IPV6.sub(lambda found: REDACTED if _is_ipv6(found[1]) else found[0], text)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text.rstrip("."))
    except ValueError:
        return False
    return True


class RedactingFormatter(logging.Formatter):
    """Redacts a whole record, traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, and redact it."""
        return redact(super().format(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the standard library's name
        """Format the stack and the type of an exception, without its message, which may hold text of a
        client.
        """
        error: BaseException | None = ei[1]
        parts: list[str] = []
        while error is not None and len(parts) < CHAIN_MAX:
            stack = "".join(traceback.format_tb(error.__traceback__))
            parts.append(f"Traceback (most recent call last):\n{stack}{type(error).__qualname__}")
            error = error.__cause__ or error.__context__
        return "\nwhile handling\n".join(parts)


def set_up_logging(level: str) -> None:
    """Log to standard error from a level on; of uvicorn only errors.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # A uvicorn that was configured earlier in this process has its own handlers, which do not redact.
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    # uvicorn's other lines repeat ours, or let a client fill the log with malformed requests; the metrics
    # count those.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
