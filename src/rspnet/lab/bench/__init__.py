"""Speed and memory, compared with the plain route."""
