"""What differs between two releases: schema, rows and cells, and whether upstream or we did it.

`compare` reads the warehouse and returns data (`models`), `markdown` puts it into words. Knows
releases and bronze's datasets, and of silver and gold only what the warehouse says of them.
"""

from include.comparison.compare import choose_releases, compare_releases
from include.comparison.markdown import as_markdown
from include.comparison.models import ReleaseComparison, TableComparison

__all__ = [
    "ReleaseComparison",
    "TableComparison",
    "as_markdown",
    "choose_releases",
    "compare_releases",
]
