"""Running a bundle on the instruction set of its target: native, masked or emulated, and proof of which kernel ran."""
