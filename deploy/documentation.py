"""The parts of the documentation that are made from the code: ``make docs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from deploy.environment.profiles import PROFILES, SPACY_MODEL, Profile
from deploy.paths import TEMPLATES
from deploy.runs import Run
from deploy.settings import PREFIX, Settings

_DOCS = TEMPLATES.parent / "docs"


def settings_page() -> str:
    """``docs/settings.md``: every setting with its type, default and meaning, and what each profile holds."""
    rows = [
        f"| `{PREFIX}{name}` | {_type(field)} | {_default(name, field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            "<!-- Made by `make docs` from deploy/settings.py and deploy/environment/profiles.py. -->",
            "",
            "A setting is pyinfra host or group data: in the inventory beside the host, in",
            "`group_data/GROUP.py` beside the inventory, or for one run with `--data KEY=VALUE`. All settings of all",
            "hosts are checked before any host is touched; an unknown key or a bad value ends the run with exit code",
            "2 and a sentence that names the host, the key, the value and what would be right.",
            "",
            "| setting | type | default | meaning |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "`inventories/local.py` sets the home, port and profile from `JUPYFLEET_HOME`, `JUPYFLEET_PORT` and",
            "`JUPYFLEET_PROFILE`.",
            "",
            "## Profiles",
            "",
            "Versions and hashes are in `requirements/PROFILE.txt`; `make lock` resolves them anew.",
            "The extension `jupyter_mcp` is built from this checkout and part of every profile.",
            "",
            "The provider `uv` takes all of it from PyPI; `pixi` takes from conda-forge what has a name there, and the",
            "rest from PyPI. The last column names packages of the host that the one from PyPI needs to be of use.",
            "",
            *(line for profile in PROFILES.values() for line in _profile(profile)),
            "Profile full with the provider pixi has spaCy's English model, too: "
            + ", ".join(f"`{name}`" for name in SPACY_MODEL.conda)
            + ".",
            "",
        ]
    )


def _profile(profile: Profile) -> list[str]:
    """A heading, and the packages that the profile has beyond those before it."""
    earlier = list(PROFILES.values())[: list(PROFILES).index(profile.name)]
    known = {package for other in earlier for package in other.packages}
    rows = [
        f"| {_code(package.pypi)} | {_code(*package.conda)} | {_code(*package.rpm)} |"
        for package in profile.packages
        if package not in known
    ]
    more = f"everything of {earlier[-1].name}, and" if earlier else "it has"
    return [
        f"### {profile.name}",
        "",
        f"{profile.meaning[0].upper()}{profile.meaning[1:]}; {more}:",
        "",
        "| PyPI | conda-forge | the host, in Fedora's names |",
        "| --- | --- | --- |",
        *rows,
        "",
    ]


def _code(*names: str | None) -> str:
    return ", ".join(f"`{name}`" for name in names if name)


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    choices = get_args(annotation)
    if annotation is int:
        low = next((rule.ge for rule in field.metadata if isinstance(rule, Ge)), None)
        high = next((rule.le for rule in field.metadata if isinstance(rule, Le)), None)
        return f"integer, {low} to {high}" if high is not None else f"integer, {low} or more"
    if annotation is bool:
        return "`True` or `False`"
    if dict in (get_origin(annotation), *(get_origin(choice) for choice in choices)):
        return "mapping or `None`"
    if get_origin(annotation) is list:
        return "list of text"
    if choices and all(isinstance(choice, str) for choice in choices):
        return " or ".join(f"`{choice!r}`" for choice in choices)
    return "text or `None`" if type(None) in choices else "text"


def _default(name: str, field: FieldInfo) -> str:
    if name == "provider":
        return "`'pixi'` in scope 'system', else `'uv'`"
    if name == "workspace":
        return "`workspace` in the home"
    if field.default_factory is not None:
        return "`[]`"
    return "needed" if field.default is PydanticUndefined else f"`{field.default!r}`"


def main() -> None:
    """Write the pages."""
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")


def pages() -> dict[Path, str]:
    """Every page that is made, with its text."""
    return {_DOCS / "settings.md": settings_page(), _DOCS / "result.schema.json": result_schema()}


def result_schema() -> str:
    """``docs/result.schema.json``: the shape of a run's result document."""
    return json.dumps(Run.model_json_schema(by_alias=True), indent=2) + "\n"


if __name__ == "__main__":
    main()
