"""The strategies ``textattack:…``: every augmenter and attack recipe of the installed TextAttack."""
