"""The arithmetic of int8: scales, the pair bound, smoothing, and errors in decibels."""
