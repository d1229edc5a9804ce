"""What every other part stands on: errors, seeds, safe files, ranks."""
