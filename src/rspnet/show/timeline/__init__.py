"""Time lines of videos as files: tables, subtitles, BORIS, ELAN, and a page with a strip a video."""
