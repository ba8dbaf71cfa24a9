"""What all hosts share, and none of them owns: it knows no platform."""
