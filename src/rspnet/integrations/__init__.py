"""Bridges to other people's programs; each file needs the program that it is named after."""
