"""The package list, which pyproject.toml cannot compute; everything else is there.

The folders stay at the top of the repository. Installed they are breakeven.gateway, breakeven.router and
breakeven.models, so that nothing of these names in the user's working directory can take their place.
"""

from setuptools import find_packages, setup

FOLDERS = ("gateway", "router", "models")

setup(
    package_dir={f"breakeven.{folder}": folder for folder in FOLDERS},
    packages=[
        f"breakeven.{name}" for name in find_packages(include=[*FOLDERS, *(f"{folder}.*" for folder in FOLDERS)])
    ],
)
