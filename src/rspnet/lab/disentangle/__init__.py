"""What features know of each factor, and which traces RSP recognises speed by."""
