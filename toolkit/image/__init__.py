"""OCI images without a daemon: root filesystem, layers, layout, inspection, push."""
