"""Videos that the package makes itself."""
