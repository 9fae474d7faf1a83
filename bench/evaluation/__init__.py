"""What a student is worth: its predictions, the metrics, which student is reported, and the quality of texts."""
