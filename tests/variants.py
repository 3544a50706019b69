"""The one table of what the tests render: every value of every option occurs, as test_variants.py checks."""

from typing import Any

EVERY_UPKEEP = ["audit", "bench", "bump", "coverage", "nightly", "notices", "rehearsal", "template"]

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "pure": {
        "package": "tally",
        "layout": "pure",
        "python": "3.12",
        "license": "BSD-3-Clause",
        "extras": ["numpy", "rayon"],
        "version": "git",
        "channels": ["conda", "container"],
        "ci": "none",
    },
    "workspace": {
        "package": "river_gauge",
        "name": "river.gauge-py",
        "layout": "workspace",
        "license": "Apache-2.0",
        "description": "Levels of a river, 3% off at most & one's own",
        "author_name": "Zoë O'Neill",
        "author_email": "zoe.o-neill@river.example",
        "repository": "https://git.example.org/water/river-gauge",
        "extras": ["numpy", "rayon"],
        "upkeep": EVERY_UPKEEP,
        "channels": ["crates", "conda", "container", "private"],
        "index": "https://packages.river.example:8443/pypi/water",
    },
    "gitlab": {"extras": ["numpy"], "upkeep": EVERY_UPKEEP, "python": "3.13", "license": "MIT", "ci": "gitlab"},
    "cibuildwheel": {"extras": ["rayon"], "python": "3.14", "version": "git", "ci": "cibuildwheel"},
}
