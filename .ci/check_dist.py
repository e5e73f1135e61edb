"""Check what would be uploaded: `python .ci/check_dist.py DIST [--tag TAG --repository OWNER/NAME]`.

DIST is the folder of one sdist and one wheel. The sdist must hold the files of the repository, the wheel those of the
package, all of them and nothing else. With --tag and --repository, the tag, the changelog and CITATION.cff must speak
of this version, and the addresses in the metadata must be those of the repository that makes the release.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OF_A_WHEEL = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def main(argv: list[str] | None = None) -> int:
    """Print what is wrong; the exit status, 1 if anything is."""
    parser = argparse.ArgumentParser(description="Check the sdist and the wheel in a folder.")
    parser.add_argument("dist", type=Path)
    parser.add_argument("--tag", help="the tag of a release, such as v0.1.0 (default: not checked)")
    parser.add_argument("--repository", help="where it is made, as owner/name (default: not checked)")
    arguments = parser.parse_args(argv)
    (wheel,), (sdist,) = arguments.dist.glob("*.whl"), arguments.dist.glob("*.tar.gz")

    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
        (place,) = (name for name in in_wheel if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(place).decode())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}

    ours = tracked()
    package = {name for name in ours if name.startswith("fastlazy/")}
    about = {f"{place.removesuffix('METADATA')}{name}" for name in OF_A_WHEEL}
    wrong = [
        *differences("the wheel", in_wheel, package | about),
        *differences("the sdist", in_sdist, ours | {"PKG-INFO"}),
        *(release_faults(metadata, arguments.tag) if arguments.tag else ()),
        *(address_faults(metadata, arguments.repository) if arguments.repository else ()),
    ]
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{wheel.name}: {len(in_wheel)} files, {sdist.name}: {len(in_sdist)} files, {len(wrong)} faults")
    return 1 if wrong else 0


def tracked() -> set[str]:
    """The files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split("\0")) - {""}


def differences(name: str, found: set[str], wanted: set[str]) -> Iterator[str]:
    """A line for each file that is missing, and for each that should not be there."""
    yield from (f"{name} lacks {file}" for file in sorted(wanted - found))
    yield from (f"{name} has {file}, which does not belong there" for file in sorted(found - wanted))


def release_faults(metadata: Message, tag: str) -> Iterator[str]:
    """A line for each place that speaks of another version than the *metadata*."""
    version = metadata["Version"]
    if tag != f"v{version}":
        yield f"the tag is {tag}, the version {version}: the tag must be v{version}"
    heading = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if heading is None or not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading[1]):
        yield f"CHANGELOG.md begins with {heading and heading[1]!r}: it must begin with {version} and its day"
    if f"\nversion: {version}\n" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8"):
        yield f"CITATION.cff cites another version than {version}"


def address_faults(metadata: Message, repository: str) -> Iterator[str]:
    """A line if the *metadata* give another address as the source than that of the *repository*."""
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    if urls.get("Source") != f"https://github.com/{repository}":
        yield (
            f"this is {repository}, but Source in pyproject.toml is {urls.get('Source')}: replace that address in "
            "pyproject.toml, CITATION.cff, CONTRIBUTING.md and .github/ISSUE_TEMPLATE/config.yml"
        )


if __name__ == "__main__":
    sys.exit(main())
