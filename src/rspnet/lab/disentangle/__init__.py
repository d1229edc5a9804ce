"""What features know of each factor, and by which traces RSP tells the speed."""
