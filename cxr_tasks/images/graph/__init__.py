"""The rules of image files in TensorFlow ops, for a batch at a time, as the served graph has them."""
