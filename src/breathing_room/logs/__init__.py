"""The ordered log that replicas share."""
