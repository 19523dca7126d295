"""Tests of toolkit.runtime."""
