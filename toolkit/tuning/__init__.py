"""Tuning: equal forms of the int8 graph, timed on the target's kernels, and the fastest one."""
