"""Models and tokenizers: loading, reshaping, masked language models, sentence embeddings."""
