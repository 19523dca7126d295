"""Signatures, SBOM and provenance of bundles and images, and archives that are unpacked safely."""
