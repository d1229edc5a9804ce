"""RSPNet."""
