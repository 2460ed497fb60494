"""Run a program and say what it used: `launch.py REPORT PROGRAM ARGUMENTS…`.

On Linux a program begins with the peak of memory of the process that starts it. A benchmark holds
more than some programs ever do, so this interpreter, which imports next to nothing, starts them.
"""

import json
import os
import sys
import time

report, *command = sys.argv[1:]
started = time.perf_counter()
process = os.posix_spawnp(command[0], command, os.environ)
_, status, used = os.wait4(process, 0)
wall = time.perf_counter() - started
with open(report, "w") as file:  # noqa: PTH123
    json.dump(
        {
            "returncode": os.waitstatus_to_exitcode(status),
            "wall": wall,
            # Of the program and of everything that it started and waited for.
            "cpu": used.ru_utime + used.ru_stime,
            # The largest of them; macOS counts bytes, the others KiB.
            "peak_mib": used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        },
        file,
    )
