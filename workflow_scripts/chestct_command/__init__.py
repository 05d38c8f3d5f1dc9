"""The command ``chestct``: one way in to what ``make``, ``snakemake`` and the package's own commands do."""
