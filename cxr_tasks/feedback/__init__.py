"""Labels that come after the answer: kept with their history, joined to what was served, and what they tell."""
