"""What a training reads: batches, augmentation, targets."""
