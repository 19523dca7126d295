"""The platforms that an image is built for, and what Debian, pip, ELF and the targets call them."""

from dataclasses import dataclass

from toolkit.errors import UsageError

# Debian 12's glibc is 2.36: it runs every manylinux tag up to that. pip widens none, so each is named.
_GLIBC = range(36, 16, -1)


@dataclass(frozen=True)
class Platform:
    """One platform: OCI's name, and what others call its architecture."""

    architecture: str  # OCI's and Debian's word
    machine: str  # the kernel's word, and that of wheel tags
    target: str  # the word of recipes and manifests
    triplet: str  # the folder of libraries under /usr/lib
    elf: str  # e_machine

    @property
    def name(self) -> str:
        """Return OCI's name."""
        return f"linux/{self.architecture}"

    @property
    def wheel_tags(self) -> tuple[str, ...]:
        """Return every platform tag that pip may take, best first."""
        return (*(f"manylinux_2_{minor}_{self.machine}" for minor in _GLIBC), f"manylinux2014_{self.machine}")


AMD64 = Platform("amd64", "x86_64", "x86_64", "x86_64-linux-gnu", "EM_X86_64")
ARM64 = Platform("arm64", "aarch64", "arm64", "aarch64-linux-gnu", "EM_AARCH64")
PLATFORMS = {platform.name: platform for platform in (AMD64, ARM64)}


def platform_of(name: str) -> Platform:
    """Return the platform of an OCI name such as ``linux/arm64``; UsageError where there is none."""
    found = PLATFORMS.get(name) or PLATFORMS.get(name.removesuffix("/v8"))
    if not found:
        raise UsageError("images are not built for this platform", got=name, expected=" or ".join(PLATFORMS))
    return found
