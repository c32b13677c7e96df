"""`fastpath presets`: the settings that reproduce published results."""

from fastpath import presets as library
from fastpath.commands.flags import Presets


def presets(command: Presets) -> None:
    """Run `fastpath presets`."""
    if command.name is not None:
        print(library.load(command.name).path.read_text(encoding="utf-8"), end="")
        return
    for name in library.names():
        preset = library.load(name)
        print(name)
        print(f"    reproduces  {preset.reproduces}")
        print(f"    data        {preset.data}")
        print(f"    published   {preset.published}")
        print(f"    time        {preset.time}")
    print("\nfastpath train --preset NAME --out FOLDER")
