"""The site as one HTML page that stands by itself: no script, nothing loaded from elsewhere, and no secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from deploy.report import plain
from deploy.results import HostResult
from deploy.runs import Run

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["plain"] = plain


def page(
    inventory: str, checks: Sequence[HostResult], status: Mapping[str, dict[str, Any] | None], run: Run | None
) -> str:
    """The page, from the checks and the status of hosts as they are now, and the last run that changed something."""
    longest = max((step.began + step.seconds for host in run.hosts for step in host.steps), default=0.0) if run else 0.0
    return _TEMPLATES.get_template("page.html.j2").render(
        inventory=inventory,
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        hosts=checks,
        status=status,
        run=run,
        longest=longest,
        scale=100 / longest if longest else 0,
        good=sum(host.is_good for host in checks),
    )
