"""Publishing targets for presence files: a folder, or a bucket of an object store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from breathing_room.core.errors import HostError
from breathing_room.ports import PublishTarget
from breathing_room.targets.folder import FolderTarget
from breathing_room.targets.object_storage import ObjectStorageTarget


def open_target(url: str, options: Mapping[str, Any]) -> PublishTarget:
    """Return the target that a URL or path names.

    Raises:
        HostError: It is not a target that can be written, or ``obstore`` is missing.
    """
    scheme, is_url, _ = url.partition("://")
    if not is_url or scheme == "file":
        return FolderTarget(Path(unquote(urlsplit(url).path)) if is_url else Path(url))
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - needed for buckets only
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError:
        raise HostError("buckets need one more package: pip install 'breathing-room[publish]'") from None
    try:
        # A failed put is not repeated: the next round puts a newer presence. URLs without TLS are those that
        # the operator set, such as a server on this machine.
        settings: dict[str, Any] = {
            "client_options": {"allow_http": True},
            "retry_config": {"max_retries": 0},
        }
        return ObjectStorageTarget(from_url(url, **settings, **options))
    except (BaseError, ValueError) as error:
        # Only the scheme is repeated: the rest of a URL may hold a password.
        raise HostError(f"cannot publish to this {scheme}:// address: {type(error).__name__}") from None
