"""Training: pretraining, fine-tuning and prediction; torch lives here and in models."""
