"""How good a trained model is: predictions, then numbers with intervals, from validation and test."""
