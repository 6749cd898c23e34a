"""Training a student: supervised fine-tuning and distillation losses on transformers' trainer."""
