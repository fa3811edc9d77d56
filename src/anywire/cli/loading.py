"""Loading: the app that `module:app` or `path/to/file.py:app` names, or why it cannot be had."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TypeVar

from anywire.app import Anywire
from anywire.errors import AnywireError, ConfigurationError

T = TypeVar("T")
_OURS = str(Path(__file__).parents[1])


class AppFailed(AnywireError):
    """The application's own code raised `cause`, whose traceback begins in that code."""

    def __init__(self, text: str, cause: BaseException) -> None:
        super().__init__(text)
        self.cause = cause


def load(target: str) -> Anywire:
    """The app of a target; `:app` may be left out. The current folder is looked in first.

    A function without parameters is called, and returns the app. Raises ConfigurationError in one
    line for whatever is wrong with the target, AppFailed for what its module raises.
    """
    name, colon, attribute = target.rpartition(":")
    if not colon:
        name, attribute = target, "app"
    if not name or not attribute:
        raise ConfigurationError(
            f'"{target}" names no app; write module:app or path/to/file.py:app'
        )
    module = _from_file(Path(name)) if name.endswith(".py") else _from_name(name)
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f'{name} has no "{attribute}"{_hint(module)}')
        found = getattr(found, part)
    if inspect.isfunction(found) and _takes_nothing(found):
        found = _guarded(found, f"{target} failed")
    if not isinstance(found, Anywire):
        raise ConfigurationError(
            f"{target} is a {type(found).__name__}, not an Anywire app{_hint(module)}"
        )
    return found


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # its neighbours can be imported, as when it is run itself
    # A module that is there already, as the standard library's, keeps its name.
    name = path.stem if path.stem not in sys.modules else f"anywire_app_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    sys.modules[name] = module
    _guarded(lambda: loader.exec_module(module), f"{path} could not be imported")
    return module


def _from_name(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(
            f'"{name}" cannot be a module; write module:app or path/to/file.py:app'
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return _guarded(lambda: importlib.import_module(name), f"{name} could not be imported")
    except AppFailed as error:
        missing = error.cause
        if not isinstance(missing, ModuleNotFoundError) or not _is_part(missing.name, name):
            raise
        raise ConfigurationError(
            f'there is no module "{name}" here or installed; run this in the folder that holds it,'
            " or name the file: path/to/file.py:app"
        ) from missing


def _is_part(missing: str | None, name: str) -> bool:
    return missing is not None and (name == missing or name.startswith(f"{missing}."))


def _guarded(call: Callable[[], T], what: str) -> T:
    """The call's result; what it raises comes as AppFailed, in one line that ends with it."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        error.__traceback__ = _theirs(error.__traceback__)
        said = " ".join(str(error).split())
        raise AppFailed(f"{what}: {type(error).__name__}{said and f': {said}'}", error) from error


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from where it enters the application's code."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith((_OURS, "<frozen importlib", importlib.__file__)):
            break
        trace = trace.tb_next
    return trace


def _takes_nothing(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    return not inspect.iscoroutinefunction(function)


def _hint(module: object) -> str:
    apps = [name for name, value in vars(module).items() if isinstance(value, Anywire)]
    return f"; it has {', '.join(apps)}" if apps else "; it has no Anywire app"
