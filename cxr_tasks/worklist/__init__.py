"""What is to be done, and what came of it: a durable list that Asset events only point at."""
