"""What is read from volumes, in which order, and how it is augmented."""
