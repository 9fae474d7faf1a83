"""What a student is worth: predictions, metrics, out-of-domain sets, robustness and text quality."""
