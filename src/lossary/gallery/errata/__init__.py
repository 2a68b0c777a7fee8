"""What the documents print wrongly, a file a document: what is right, and the computation that shows it."""
