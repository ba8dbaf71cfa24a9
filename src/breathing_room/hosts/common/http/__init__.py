"""What is answered over HTTP, whichever host answers."""
