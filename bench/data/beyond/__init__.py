"""Sets to evaluate students on beyond their own dev set: what there is, reading them, whose answers fit them."""
