"""The repository's address, and the book's configuration and texts with it."""

import re
import subprocess
from pathlib import Path

PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"


def repository_url(root: Path) -> str | None:
    """Address of the repository on GitHub, from the git remote ``origin``; None where it has none
    there."""
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    remote = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    match = re.search(r"github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$", remote)
    return f"https://github.com/{match[1]}/{match[2]}" if match else None


def stage_config(config: dict, url: str | None) -> dict:
    """``_config.yml`` with the repository's address, or without launch buttons if there is none."""
    if url:
        return config | {"repository": config.get("repository", {}) | {"url": url}}
    without = {key: value for key, value in config.items() if key != "repository"}
    buttons = dict.fromkeys(("binderhub_url", "colab_url"), "")
    options = {"use_repository_button": False, "use_issues_button": False}
    return without | {"launch_buttons": buttons, "html": config.get("html", {}) | options}


def with_address(text: str, url: str | None) -> str:
    """``text`` with the repository's real address where it is known."""
    return text.replace(PLACEHOLDER, url) if url else text
