"""Loading a function that the operator names as `module:function`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def load_function(name: str) -> Callable[..., Any]:
    """The function of this name. Raises ValueError where there is none, without the name in its text."""
    module_name, _, attribute = name.partition(":")
    try:
        function = getattr(_module(module_name), attribute)
    except ImportError as error:
        raise ValueError(f"cannot import {module_name}: {error}") from None
    except AttributeError:
        raise ValueError(f"{module_name} has no {attribute}") from None
    except (Exception, SystemExit) as error:
        # Any code may stand there; what it says may quote data.
        raise ValueError(f"importing {module_name} failed with {type(error).__name__}") from None
    if not callable(function):
        raise ValueError(f"{attribute} of {module_name} is no function")
    return function  # type: ignore[no-any-return]


def _module(name: str) -> ModuleType:
    """The module of this name: a file in the working directory, or one that is installed. Raises ImportError.

    The working directory is not added to the import path, so that no other file in it can shadow a library.
    """
    file = Path.cwd().joinpath(*name.split(".")).with_suffix(".py")
    found = importlib.util.spec_from_file_location(name, file) if file.is_file() else None
    if found is None or found.loader is None:
        return importlib.import_module(name)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
