"""Reading video files frame-exactly, and the index arithmetic of clips."""
