"""The strategies ``nlpaug:…``: every text augmenter of the installed nlpaug."""
