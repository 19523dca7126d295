"""Calibration and evaluation sets: the shipped ones, local files, and the hub's."""

from toolkit.samples.load import load_samples
from toolkit.samples.samples import Samples, check_disjoint
from toolkit.samples.shipped import SetInfo, default_set, shipped_sets

__all__ = ["Samples", "SetInfo", "check_disjoint", "default_set", "load_samples", "shipped_sets"]
