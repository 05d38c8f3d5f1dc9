"""Names of the tables that the figures step reads, and of the figures of the scans.

Read without matplotlib and pandas: the workflow lists inputs and outputs by them.
"""

#: Tables that figures, publication tables and report read, by the step whose results folder holds them.
TABLES = {
    "metrics": "evaluation",
    "means": "evaluation",
    "comparisons": "evaluation",
    "claims": "evaluation",
    "claims_by_dataset": "evaluation",
    "curves": "evaluation",
    "calibration": "evaluation",
    "multipliers": "evaluation",
    "coverage": "evaluation",
    "power": "evaluation",
    "permuted": "evaluation",
    "same_arm": "evaluation",
    "subgroups": "evaluation",
    "localisation": "evaluation",
    "failures": "evaluation",
    "examples": "evaluation",
    "runs": "training",
    "histories": "training",
}

#: Schemas of tables that are not named after their own.
SCHEMAS = {"claims_by_dataset": "claims"}

#: The figure of the scans' quality, which the report shows in a section of its own.
QUALITY = "scan_quality"

#: The figure of the cohort flow: the report shows the flow as text, which this file holds for a manuscript.
FLOW = "cohort_flow"

#: The points of the figures and what an interactive report says of them.
POINTS = "points.json"

#: Figures of single scans: windows by outcome, and scores along z.
WINDOWS, ALONG_Z = "windows_by_outcome", "scores_along_z"
#: Why one of them is missing.
EXAMPLES_INDEX = "examples.json"
