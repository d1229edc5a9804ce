"""Pictures and pages; nothing is computed here."""
