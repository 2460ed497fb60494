"""How fast the pipeline is, and against what: `make bench`, docs/performance.md.

A module with `suite(workspace, quick)`, which returns cases to be measured in turns, is a suite; so
is one with `run(workspace, quick)`, which measures by itself and returns a `report.SuiteResult`.
Quick mode leaves those with `NOT_QUICK` out, unless they are asked for by name.

None of this is part of the image.
"""
