"""Training: pretraining, fine-tuning and prediction; torch and Lightning live here and in models."""
