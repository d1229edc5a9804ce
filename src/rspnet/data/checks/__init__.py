"""Looks at a folder of videos: what is wrong with it, and what a training would leave out."""
