"""Results on an object store: the store, leases on what is there, and the local mirror of it."""
