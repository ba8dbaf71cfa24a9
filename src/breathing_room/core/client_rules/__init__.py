"""What a client does, pure: when it polls, reports and leaves, and what it shows between two polls."""
