"""Speed and memory, measured beside the plain route."""
