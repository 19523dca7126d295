"""The tests, mirroring toolkit/."""
