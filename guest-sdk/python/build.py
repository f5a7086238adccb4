"""Makes a Python agent's component, or a new agent.

    python build.py new NAME [FOLDER]
    python build.py build [FOLDER]

It wants the Python that requirements.txt was installed for. A component imports every interface of its world, whether the agent
uses it or not; so the world is made for each agent, and has the interfaces that its manifest asks for.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

SDK = Path(__file__).resolve().parent
WIT = SDK.parent.parent / "wit"

INTERFACES = {
    "models": ["llm", "context"],
    "tools": ["tool"],
    "memory": ["memory"],
    "files": ["files"],
    "processes": ["children"],
    "people": ["human"],
}
"""Which interfaces a section of a manifest's `[wants]` opens. All others are every agent's."""


def narrow(world: str, sections: set[str]) -> str:
    """The world without the interfaces that the manifest does not ask for."""
    for section, interfaces in INTERFACES.items():
        if section not in sections:
            for interface in interfaces:
                world = re.sub(rf"^  import {interface};\n", "", world, flags=re.MULTILINE)
    return world


def build(folder: Path) -> None:
    """Writes the component that the folder's manifest names."""
    manifest = tomllib.loads((folder / "remit.toml").read_text())
    component = folder / manifest["component"]
    with tempfile.TemporaryDirectory() as place:
        wit = Path(place) / "wit"
        shutil.copytree(WIT, wit)
        world = wit / "world.wit"
        world.write_text(narrow(world.read_text(), set(manifest.get("wants", {}))))
        arguments = ["-q", "-d", wit, "-w", "agent", "componentize", "agent", "-p", folder, "-p", SDK, "-o", component]
        subprocess.run([componentize_py(), *map(str, arguments)], check=True)
    print(f"{component} has {component.stat().st_size} bytes")


def componentize_py() -> Path:
    """The program, beside the Python that runs this."""
    program = Path(sys.executable).with_name("componentize-py")
    if not program.exists():
        sys.exit(f"there is no {program}: run `pip install -r {SDK / 'requirements.txt'}` with this Python")
    return program


def new(name: str, folder: Path) -> None:
    """A copy of the template."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
        sys.exit(f"{name!r} can be no agent's name: take lower-case letters, digits, dashes and underscores, the first a letter")
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is there already, and is not empty: name another folder")
    shutil.copytree(SDK / "template", folder, dirs_exist_ok=True)
    for file in folder.rglob("*"):
        if file.is_file():
            file.write_text(file.read_text().replace("{{name}}", name))
    print(f"{folder} is made: see its README.md")


def main() -> None:
    match sys.argv[1:]:
        case ["build"]:
            build(Path.cwd())
        case ["build", folder]:
            build(Path(folder).resolve())
        case ["new", name]:
            new(name, Path(name))
        case ["new", name, folder]:
            new(name, Path(folder))
        case _:
            sys.exit(__doc__)


try:
    main()
except subprocess.CalledProcessError as error:
    sys.exit(error.returncode)
except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
