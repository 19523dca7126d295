"""A verified image to a registry, by skopeo: logins are those of ``skopeo login`` or ``podman login``."""

from pathlib import Path

from toolkit.image import tools
from toolkit.image.reading import open_layout


def push(image: Path, reference: str, *, insecure: bool = False) -> str:
    """Check every digest of an image, copy all its platforms to ``HOST/NAME:TAG``, and return the image's digest.

    ``insecure`` speaks plain HTTP, or HTTPS without looking at the certificate.
    """
    tools.require("skopeo", "apt install skopeo, or push the archive with another client: it is a plain OCI layout")
    with open_layout(image) as layout:
        tls = [f"--dest-tls-verify={'false' if insecure else 'true'}"]
        source, target = f"oci:{layout.folder}", f"docker://{reference.removeprefix('docker://')}"
        command = ["skopeo", "copy", "--quiet", "--all", "--preserve-digests", *tls, source, target]
        tools.run(command, "the registry did not take the image", hint="log in with skopeo login")
        return layout.digest
