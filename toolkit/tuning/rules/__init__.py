"""Rewrite rules between equal forms of an int8 graph: one form a file, from what ``apply`` writes to the other."""
