"""Commands: one file a command; none imports another."""
