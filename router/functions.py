"""Loading a function that the operator names as `module:function`."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def load_function(name: str) -> Callable[..., Any]:
    """The function of this name. Raises ValueError where there is none, without the name in its text."""
    module_name, _, attribute = name.partition(":")
    try:
        function = getattr(_module(module_name), attribute)
    except AttributeError:
        raise ValueError(f"{module_name} has no {attribute}") from None
    except BaseException as error:
        # Any code may stand there, which may exit; what it says may quote data.
        if isinstance(error, ModuleNotFoundError) and error.name:
            raise ValueError(f"cannot import {module_name}: there is no module {error.name[:100]}") from None
        raise ValueError(f"importing {module_name} failed with {type(error).__name__}") from None
    if not callable(function):
        raise ValueError(f"{attribute} of {module_name} is no function")
    return _contained(function, attribute)


def _contained(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function, with an exit of the process or the thread turned into a RuntimeError."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            raise RuntimeError(f"{name} raised {type(error).__name__}") from None

    return call


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
