"""A page in a real browser: Debian's chromium, headless, with every name of the network unknown to it."""

import json
import shutil
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",  # as root it starts in no other way; the page is ours
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--virtual-time-budget=1000",  # ms of the page's own clock before it is looked at
)


@dataclass(frozen=True)
class Seen:
    """What the browser made of a page."""

    dom: str
    console: tuple[str, ...]
    requests: tuple[str, ...]  # of the page, beside the page itself


def without_scripts(folder: Path) -> None:
    """Switch scripts off in the settings of the browser whose files are in ``folder``."""
    settings = folder / "profile" / "Default" / "Preferences"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('{"profile": {"default_content_setting_values": {"javascript": 2}}}', encoding="utf-8")


def look(page: Path, folder: Path, *, dark: bool = False, width: int = 1280) -> Seen:
    """Load a page; ``folder`` holds the browser's files."""
    log = folder / "net.json"
    run = _chromium(folder, "--dump-dom", f"--log-net-log={log}", *_settings(dark, width), page.as_uri())
    return Seen(run.stdout, _console(run.stderr), _requests(log, page.as_uri()))


def picture(page: Path, folder: Path, *, dark: bool = False) -> bytes:
    """Return a picture of the page as a PNG file's bytes."""
    out = folder / "page.png"
    _chromium(folder, f"--screenshot={out}", *_settings(dark), page.as_uri())
    return out.read_bytes()


def corner(data: bytes) -> tuple[int, ...]:
    """Return a PNG file's first pixel, RGB."""
    packed, at = b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return tuple(zlib.decompress(packed)[1:4])  # after the filter's byte; no filter changes the first pixel


def _settings(dark: bool, width: int = 1280) -> tuple[str, str]:
    return f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},3000"


def _chromium(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def _console(log: str) -> tuple[str, ...]:
    return tuple(line for line in log.splitlines() if ":CONSOLE" in line)


def _requests(log: Path, page: str) -> tuple[str, ...]:
    """Return what was asked for on behalf of the page: what the browser wants for itself has no page as its origin."""
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    asked = [event["params"] for event in events if "initiator" in event.get("params", {})]
    return tuple({item["url"] for item in asked if item["url"] != page and item["initiator"] != "not an origin"})
