"""What came back of served images: labels with their history, and the images themselves, known by their pixels."""
