"""What a strategy must satisfy to be compared fairly, as checks that anybody can run on their own."""
