"""Research machinery: studies, disentanglement, benches. Nothing below imports it."""
