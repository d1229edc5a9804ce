"""Grids of pre-trainings, each judged alike."""
