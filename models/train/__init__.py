"""Training a student: supervised fine-tuning and distillation with the Trainer of transformers."""
