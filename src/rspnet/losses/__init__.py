"""Stateless loss functions."""
