"""The one table of what the tests render: every value of every option occurs, as test_variants.py proves."""

from typing import Any

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "pure": {
        "package": "tally",
        "layout": "pure",
        "python": "3.10",
        "license": "BSD-3-Clause",
        "version": "git",
        "channels": ["conda", "container"],
        "ci": "none",
    },
    "workspace": {
        "package": "river_gauge",
        "layout": "workspace",
        "python": "3.12",
        "license": "Apache-2.0",
        "description": "Levels of a river, 3% off at most & one's own",
        "author_name": "Zoë O'Neill",
        "author_email": "zoe.o-neill@river.example",
        "repository": "https://git.example.org/water/river-gauge",
        "channels": ["crates", "conda", "container", "private"],
        "index": "https://packages.river.example:8443/pypi/water",
    },
    "numpy": {"extras": ["numpy"], "python": "3.13", "license": "MIT", "ci": "gitlab"},
    "rayon": {"extras": ["rayon"], "python": "3.14", "ci": "cibuildwheel"},
    "pure-numpy-rayon": {"layout": "pure", "extras": ["numpy", "rayon"]},
    "workspace-numpy-rayon": {"layout": "workspace", "extras": ["numpy", "rayon"], "python": "3.10", "version": "git"},
}
