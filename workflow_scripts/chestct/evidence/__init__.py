"""What a finished study publishes with the project: its tables, figures, verdicts, and how it was run."""
