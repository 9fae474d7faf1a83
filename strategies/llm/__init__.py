"""The strategies ``llm:…``: texts that a large language model writes, run here or behind an endpoint."""
