"""Everything that a host without the internet needs, in one archive: bundles, a runtime, the script that installs."""

from toolkit.kit.kit import Runtime, write_kit
from toolkit.kit.runtimes import wheels_runtime, whole_runtime

__all__ = ["Runtime", "wheels_runtime", "whole_runtime", "write_kit"]
