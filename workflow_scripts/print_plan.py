"""Rule plan: prints jobs, hours and disk of the study, and leaves them in its log; fetches nothing."""

import sys
from pathlib import Path

from chestct.errors import InputError
from chestct.files import write_text
from chestct.plan.text import plan_text

params = snakemake.params
try:
    plan = plan_text(params.configuration, params.rules, params.weights, Path(params.throughput))
except InputError as error:
    write_text(snakemake.log[0], f"ERROR: {error}\n")
    sys.exit(f"ERROR: {error}")
write_text(snakemake.log[0], plan)
print(plan, end="")
