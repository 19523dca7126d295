import pytest

from toolkit.errors import EdgequantError, UsageError
from toolkit.isa import qemu
from toolkit.isa.cpu_models import cpu_model


def build(folder, name, version="7.2.22", models="cortex-a72 cortex-a76 max", *, plugins=False):
    """A program that answers as qemu-user does."""
    path = folder / name
    complaint = "qemu: no user program specified" if plugins else "qemu: unknown option 'plugin'"
    path.write_text(f"""#!/bin/sh
case $1 in
-version) echo "{name} version {version} (Debian)";;
-cpu) echo "Available CPUs:"; printf '  %s\\n' {models};;
-plugin) echo "{complaint}" >&2; exit 1;;
esac
""")
    path.chmod(0o755)
    return path


def test_the_first_build_that_knows_the_model_is_taken(tmp_path):
    static = build(tmp_path, "qemu-aarch64-static")
    newer = build(tmp_path, "qemu-aarch64", "8.2.2", "cortex-a72 neoverse-v1", plugins=True)
    assert qemu.find(cpu_model("cortex-a72"), tmp_path).path == static
    assert qemu.find(cpu_model("cortex-a72"), tmp_path, plugins=True).path == newer
    assert qemu.find(cpu_model("neoverse-v1"), tmp_path).version == (8, 2)
    assert str(qemu.find(cpu_model("max-i8mm"), tmp_path)) == "qemu-aarch64-static 7.2"


def test_what_is_missing_is_told_with_what_to_install(tmp_path):
    with pytest.raises(UsageError, match=r"(?s)QEMU for x86_64 is not installed.*apt-get install qemu-user-static"):
        qemu.find(cpu_model("Haswell"), tmp_path)
    build(tmp_path, "qemu-aarch64-static")
    told = r"(?s)model neoverse-v1.*static 7\.2: cortex-a72 cortex-a76\n.*QEMU 8\.1 or newer.*or take --isa max-i8mm"
    with pytest.raises(UsageError, match=told):
        qemu.find(cpu_model("neoverse-v1"), tmp_path)
    with pytest.raises(UsageError, match=r"(?s)takes no plugins.*qemu-aarch64-static 7\.2.*install qemu-user \("):
        qemu.find(cpu_model("cortex-a76"), tmp_path, plugins=True)


def test_an_old_build_is_told(tmp_path):
    build(tmp_path, "qemu-x86_64-static", "6.2.0", "Haswell")
    with pytest.raises(UsageError, match=r"(?s)does not know .* Haswell.*qemu-x86_64-static 6\.2.*QEMU 7\.2 or newer"):
        qemu.find(cpu_model("Haswell"), tmp_path)


def test_an_interface_of_plugins_that_is_not_ours_is_not_taken(tmp_path):
    build(tmp_path, "qemu-aarch64", "9.2.0", plugins=True)
    assert not qemu.find(cpu_model("cortex-a72"), tmp_path).plugins


def test_a_program_that_is_no_qemu_is_passed_over_and_one_that_cannot_run_is_told(tmp_path):
    (tmp_path / "qemu-aarch64-static").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "qemu-aarch64-static").chmod(0o755)
    assert qemu.builds("arm64", tmp_path) == ()
    (tmp_path / "qemu-x86_64-static").write_text("#!/no/such/interpreter\n")
    (tmp_path / "qemu-x86_64-static").chmod(0o755)
    with pytest.raises(EdgequantError, match="QEMU cannot be run"):
        qemu.builds("x86_64", tmp_path)
