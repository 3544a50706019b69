"""Parse the recipe and render it for the sdist in dist/, as rattler-build does before it builds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rattler_build import RattlerBuildError, RenderConfig, Stage0Recipe, VariantConfig
from rattler_build.jinja_config import JinjaConfig

RECIPE = Path(__file__).resolve().with_name("recipe.yaml")
DIST = RECIPE.parents[2] / "dist"


def the_sdist() -> Path:
    """Find the one sdist."""
    found = sorted(DIST.glob("*.tar.gz"))
    if len(found) != 1:
        sys.exit(f"dist/ is to hold one sdist and holds {len(found)}: run `nox -s release`")
    return found[0]


def check(sdist: Path) -> None:
    """Render a package for each variant, and look at what each says of itself."""
    os.environ["SDIST"] = sdist.name
    version = sdist.name.removesuffix(".tar.gz").rpartition("-")[2]
    try:
        recipe = Stage0Recipe.from_file(RECIPE)
        variants = VariantConfig.from_file_with_context(
            RECIPE.with_name("variants.yaml"), JinjaConfig()
        )
        rendered = recipe.render(variants, RenderConfig())
    except (OSError, RattlerBuildError) as error:
        sys.exit(f"{RECIPE} cannot be rendered: mend what rattler-build says of it\n{error}")
    for one in rendered:
        package = one.recipe.package
        if package.version != version:
            sys.exit(
                f"the recipe's version is {package.version}, the sdist's {version}: take it from SDIST"
            )
        print(f"conda: {package.name} {package.version} for {one.variant}")


if __name__ == "__main__":
    check(the_sdist())
