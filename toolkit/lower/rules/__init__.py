"""Rewrite rules of lowering, one form of graph a file: what it looks like, and when it is left alone."""
