"""Where a MATE-KD step spends its time, measured against a plain run of the published equations."""
