"""The leaderboard as one page to look at: HTML that holds all it needs and asks nothing of anywhere."""
