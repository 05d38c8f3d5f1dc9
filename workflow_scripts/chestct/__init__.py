"""Video pretraining on chest CT: the science of the study, one subpackage a step.

The package knows nothing of Snakemake. Steps are joined by files whose columns the schemas in
``schemas/`` define; no step imports another step's subpackage.
"""

__version__ = "0.1.0"
