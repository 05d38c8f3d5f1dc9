"""Rule collect_evaluation: put the datasets' tables together and judge the paper's claims."""

from chestct.evaluation.dataset import TABLES
from chestct.evaluation.study import collect
from chestct.evaluation.validity.dataset import VALIDITY_TABLES
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
names = (*TABLES, *VALIDITY_TABLES)
collect(
    tables={name: snakemake.input[name] for name in names},
    draws=snakemake.input.draws,
    draws_by_dataset=snakemake.input.draws_by_dataset,
    collected={name: snakemake.output[name] for name in names},
    claims_path=snakemake.output.claims,
    by_dataset_path=snakemake.output.claims_by_dataset,
    confidence=snakemake.params.confidence,
    margin=snakemake.params.margin,
)
