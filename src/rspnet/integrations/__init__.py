"""Bridges to other people's programs; each file but `identity.py` needs the program that it is named after."""
