"""Tasks and the places their rows come from: the GLUE folder, the hub, a user's files, the mini suite."""
