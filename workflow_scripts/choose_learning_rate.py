"""Rule choose_learning_rate: the best of an arm's trials, on validation; it is one of the arm's runs."""

from chestct.log import set_up_log
from chestct.run import Run
from chestct.training.selection import adopt_trial, choose_learning_rate

set_up_log(snakemake.log[0])
trials, params, output = snakemake.input, snakemake.params, snakemake.output
choose_learning_rate(Run(**params.run), params.rates, trials.record, trials.history, output.choices)
names = ("weights", "history", "record", "resolved")
adopt_trial(
    output.choices,
    params.rates,
    {name: getattr(trials, name) for name in names},
    {name: getattr(output, name) for name in names},
)
