"""The options of pretext methods, of ours and of others' that a plug-in registered, on the command line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_type_hints


def add_method_options(parser: Any, section: str) -> None:
    """Add the options of every pretext method that is registered, each of them once."""
    from rspnet.models.registry import backbone_names  # most commands do without all these
    from rspnet.pretext.method import PretextMethod
    from rspnet.pretext.methods import find_method, method_names

    kinds = [find_method(name) for name in method_names()]
    parser.add_class_arguments(PretextMethod, section, skip={"backbone"}, instantiate=False, help="Pretext method")
    what = "What is learned. " + "; ".join(f"{kind.method}: {kind.summary}" for kind in kinds) + "."
    for name, names, text in (
        ("method", method_names(), what), ("backbone", backbone_names(), "Video network that is learned."),
    ):  # fmt: skip
        default = getattr(kinds[0], name)
        parser.add_argument(f"--{section}.{name}", type=Literal[tuple(names)], default=default, help=text)
    added = {item.name for item in fields(PretextMethod)}
    for kind in kinds:
        if added.issuperset(item.name for item in fields(kind)):
            continue
        parser.add_class_arguments(kind, section, as_group=False, skip=set(added), instantiate=False)
        added |= {item.name for item in fields(kind)}


def method_flags(section: str) -> set[str]:
    """The yes-or-no options among them."""
    from rspnet.pretext.methods import find_method, method_names

    kinds = [find_method(name) for name in method_names()]
    return {f"--{section}.{name}" for kind in kinds for name, hint in get_type_hints(kind).items() if hint is bool}


def method_of(options: Any) -> Any:
    """The pretext method that parsed options choose."""
    from rspnet.pretext.methods import choose_method

    return choose_method(**vars(options))
