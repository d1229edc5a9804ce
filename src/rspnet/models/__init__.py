"""Backbones, heads, the weights files they load."""
