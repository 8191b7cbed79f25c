"""What a model was trained on, so that serving can say of an image that it is nothing like it."""
