"""Finished files: sound with chapters, subtitles, EPUB with media overlays, a player page."""
