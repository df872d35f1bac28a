"""What a trained encoder or classifier says about images: predictions, embeddings, neighbours."""
